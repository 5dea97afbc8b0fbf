"""The sentences of the README on what was broken off, damaged, planted and left running."""

from measure import HERE, read


def trust():
    """Return the lines between the marks on what was broken off, damaged and left running."""
    parts = {"faults": broken_off, "fuzz": damaged, "planted": planted, "endurance": left_running}
    known = (name for name in parts if (HERE / "results" / f"{name}.json").is_file())
    return "\n".join([*(line for name in known for line in parts[name](read(name))), ""])


def broken_off(results):
    """Return the sentence on runs that were broken off."""
    jobs = results["jobs"]
    listed = ", ".join(f"{name} {found['points']}" for name, found in jobs.items())
    total, violations = (sum(found[key] for found in jobs.values()) for key in ("points", "violations"))
    yield (
        f"* {total} runs broken off ({listed}): killed, interrupted, out of disk, sealed, two at once, with "
        f"failing calls, reads and servers. {violations} left anything but the old state or the new one, and "
        "every next run finished to the same bytes (`tests/faults`)."
    )


def damaged(results):
    """Return the sentence on bad input."""
    yield (
        f"* {results['inputs']:,} damaged and hostile inputs: {results['refused']:,} refused in one line, "
        f"{results['accepted']:,} read right, {results['violations']} anything else (`tests/fuzz`)."
    )


def planted(results):
    """Return the sentence on bugs that were planted."""
    bugs = results["bugs"]
    seen = sum(bug["found"] for bug in bugs)
    yield (
        f"* Both were tried on {len(bugs)} bugs planted on purpose, such as a missing fsync, a swallowed "
        f"error and an unchecked length: {seen} were found (`benchmarks/planted.py`)."
    )


def left_running(results):
    """Return the sentence on endurance."""
    kinds = {
        "private_mb": "private memory",
        "files": "files",
        "threads": "threads",
        "shared": "shared memory",
    }
    parts = (results["stream"]["growth"], results["training"]["growth"])
    grown = (f"{words} {100 * max(part[kind] for part in parts):+.1f} %" for kind, words in kinds.items())
    millions, minutes = results["patches"] / 1e6, results["minutes"]
    yield (
        f"* {millions:.1f} million patches streamed and trained on in {minutes:.0f} minutes; the last "
        f"quarter against the second, at most: {', '.join(grown)} (`benchmarks/endurance.py`)."
    )
