"""What a push will do and what it did, in words."""

from collections.abc import Iterable

from so2sat_hf.convert.manifest import FORMAT_VERSION, README, major
from so2sat_hf.hub.change import FATES, Item
from so2sat_hf.hub.push import PushReport, count
from so2sat_hf.hub.push_plan import PushPlan
from so2sat_hf.hub.tables import size


def describe(plan: PushPlan, repo_id: str, url: str) -> str:
    """Return a line for every file, and how the README changes."""
    state = f"main at {plan.head[:7]}" if plan.head else "to be made"
    lines = [f"{repo_id} ({url}), {state}", ""]
    lines.append(files(plan.items))
    changes = plan.readme_changes()
    lines += ["", *(changes or [f"{README}: the same"]), "", summary(plan)]
    return "\n".join(lines)


def files(items: Iterable[Item]) -> str:
    """Return a line for every file."""
    return "\n".join(f"{item.fate:10}{size(item.num_bytes):>11}  {item.path}{_why(item)}" for item in items)


def _why(item: Item) -> str:
    if item.fate != "kept":
        return ""
    return "  (the same already)" if item.is_ours else "  (not of this dataset)"


def summary(plan: PushPlan) -> str:
    """Return how many files change, and the bytes to send.

    Bytes that the Hub already has from an interrupted push count too: nobody knows before it is asked.
    """
    return f"{counts(plan.items)}; at most {size(sum(file.num_bytes for file in plan.changed))} to send"


def counts(items: Iterable[Item]) -> str:
    """Return how many files are new, replaced, removed and kept."""
    numbers = count(items)
    found = [f"{numbers[fate]} {fate}" for fate in FATES if fate in numbers]
    return f"files: {', '.join(found)}"


def other_format(plan: PushPlan) -> str:
    """Return a warning if main holds another version of the data contract; else nothing."""
    if plan.format_before is None or major(plan.format_before) == major(FORMAT_VERSION):
        return ""
    return (
        f"main holds format {plan.format_before}, this is {FORMAT_VERSION}: so2sat_hf for "
        f"{major(plan.format_before)}.x reads it by revision format-{plan.format_before} from now on"
    )


def outcome(report: PushReport, repo_id: str, url: str) -> str:
    """Return what a push did, and what comes next."""
    plan, pull_request = report.plan, report.pull_request
    lines = [f"{repo_id}: {counts(plan.items)}"]
    if report.commit is None and pull_request is not None:
        page = f"{url}/discussions/{pull_request.number}"
        lines.append(f"pull request {pull_request.number} is open and checked: {page}")
        if report.refused:
            lines.append(f"main stays as it is: {report.refused}")
            lines.append(
                "Somebody who may write can publish the draft there; the same push then sets the tags"
            )
        lines.append(f'Try it: load_dataset("{repo_id}", revision="{pull_request.revision}")')
        return "\n".join(lines)
    lines.append(f"main is at {(report.commit or '')[:7]}; tags {', '.join(report.tags)}")
    if report.kept_as:
        lines.append(f"what main held before is tag {report.kept_as}")
    lines += [f"but {sentence}" for sentence in report.undone]
    lines.append(f'Next: load_dataset("{repo_id}")')
    return "\n".join(lines)
