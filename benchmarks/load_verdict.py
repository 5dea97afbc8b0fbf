"""What ``load.py`` found, beside what was wanted; and its table."""

from load_cases import FLAT, STREAM_SLACK_MB, TARGETS


def judge(cases, memory):
    """List what was wanted, what was found, and whether it holds.

    A ratio holds or is missed if every round says so; None: rounds disagree, or it was not measured.
    """
    known = {f"{entry['section']}: {entry['name']}": entry for entry in cases if "rounds" in entry}
    found = []
    for name, least, other in TARGETS:
        entry = {"target": f"{name} at least {least:g} x {other}", "found": None, "holds": None}
        if name in known and other in known:
            mine, theirs = known[name], known[other]
            ratios = [one / two for one, two in zip(mine["rounds"], theirs["rounds"], strict=True)]
            agreed = {ratio >= least for ratio in ratios}
            entry["found"] = round(mine["patches_per_second"] / theirs["patches_per_second"], 3)
            entry["of_rounds"] = [round(ratio, 3) for ratio in ratios]
            entry["holds"] = agreed.pop() if len(agreed) == 1 else None
        found.append(entry)
    for place, entry in memory.items():
        if "above_mb" in entry:
            above, most = max(entry["above_mb"]), entry["window_mb"] + STREAM_SLACK_MB
            text = f"memory of a stream, {place}: above its start by at most window + {STREAM_SLACK_MB} MB"
            found.append(
                {"target": text, "found": round(above - entry["window_mb"], 1), "holds": above <= most}
            )
            grown = entry["above_mb"][-1] / entry["above_mb"][1]
            text = f"memory of a stream, {place}: last epoch : second at most {FLAT}"
            found.append({"target": text, "found": round(grown, 3), "holds": grown <= FLAT})
    return found


def show(result):
    """Print the table and the verdicts."""
    section = None
    for entry in result["cases"]:
        if entry["section"] != section:
            section, first = entry["section"], None
            print(f"\n{section:46}patches/s   (lowest - highest)   ours : it   MB rss  private  B/patch")
        if "rounds" not in entry:
            state = "skipped" if "skipped" in entry else "failed"
            print(f"  {entry['name']:44}{state}: {entry[state]}")
            continue
        rate, rounds = entry["patches_per_second"], entry["rounds"]
        first = first or (rate if entry["ours"] else None)
        times = f"{first / rate:9.2f}" if first and not entry["ours"] else f"{'':9}"
        spread = f"({min(rounds):8,.0f} - {max(rounds):8,.0f})"
        memory = f"{entry['peak_rss_mb']:8,.0f} {entry['peak_private_mb']:8,.0f}"
        print(f"  {entry['name']:44}{rate:9,.0f}  {spread}  {times} {memory} {entry['bytes_of_patch']:8,}")
    print("\nbytes of a patch on disk: " + ", ".join(f"{k} {v:,}" for k, v in result["disk"].items()))
    for place, entry in result["memory"].items():
        print(f"memory of a stream, {place}: {entry}")
    print()
    for entry in result["targets"]:
        unknown = "not measured" if entry["found"] is None else "NOISY"
        state = {True: "holds", False: "MISSED", None: unknown}[entry["holds"]]
        rounds = f" (rounds: {', '.join(map(str, entry['of_rounds']))})" if "of_rounds" in entry else ""
        print(f"{state:12} {entry['target']}: {entry['found']}{rounds}")
