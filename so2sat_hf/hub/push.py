"""A built folder -> the Hub: one pull request, checked by loading it, then one commit on main.

At every moment ``main`` shows either the dataset before or the new one: all files change in one commit, whose
parent must be the head that was seen at the start. Killed anywhere, the same push goes on: content that the
Hub has is not sent again, the pull request is found by its title, a commit that was made is recognised by
its files.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from so2sat_hf.convert.manifest import MANIFEST
from so2sat_hf.errors import HubError
from so2sat_hf.hub.change import Item, is_done
from so2sat_hf.hub.patience import ignore, patiently
from so2sat_hf.hub.push_plan import PushPlan
from so2sat_hf.hub.refusal import ForbiddenError
from so2sat_hf.hub.remote import PullRequest
from so2sat_hf.hub.repository import Repository
from so2sat_hf.hub.settle import head_of, send, settle
from so2sat_hf.hub.trial import try_loading


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push did."""

    plan: PushPlan
    """What it meant to do."""

    commit: str | None
    """Head of main with this dataset; None if it is not there."""

    pull_request: PullRequest | None
    """Where the dataset waits, or came from; None if main had it already."""

    tags: tuple[str, ...] = ()
    """That point to the commit."""

    kept_as: str | None = None
    """Tag of what main held before."""

    refused: str = ""
    """Why main does not have it although it should: what the Hub said."""

    undone: tuple[str, ...] = ()
    """What could not be done after main had it: sentences."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Who is told how far a push is."""

    say: Callable[[str], None] = ignore
    """A sentence."""

    sent: Callable[[int, int], None] = ignore
    """Bytes of files that are on the Hub, of how many."""


SILENT = Telling()


def push(
    plan: PushPlan,
    repository: Repository,
    *,
    private: bool = False,
    merge: bool = True,
    message: str | None = None,
    telling: Telling = SILENT,
) -> PushReport:
    """Publish what was planned.

    Args:
        plan: see :func:`~so2sat_hf.hub.push_plan.plan_push`.
        repository: where to; open.
        private: if the repository is made.
        merge: whether main gets it, too; else the pull request stays open.
        message: first line of the commits.
        telling: who is told.

    Raises:
        HubError: the Hub refuses, is silent, or main was changed meanwhile.
        FolderError: a file changed while it was sent.
    """
    user = repository.user()
    if plan.head is None:
        repository.create(private=private)
        telling.say(f"{repository.repo_id}: made, {'private' if private else 'public'}")
    head = plan.head or head_of(repository, "main")
    if plan.head is not None and not plan.changed and not plan.removed:
        return _finish(plan, repository, head, user)
    proposal = repository.propose(user, f"{plan.subject}, on {head[:7]}", _description(plan))
    telling.say(f"pull request {proposal.number}: {repository.url}/discussions/{proposal.number}")
    repository.choose_storage(proposal.revision)
    send(plan.changed, repository, proposal.revision, telling.sent)
    message = message or plan.subject
    proposed = settle(plan.wanted, plan.removed, repository, proposal.revision, message=message)
    _check(plan, repository, proposed, telling)
    if not merge:
        _close(plan, repository, user, f"Pull request {proposal.number} has the same data.", but=proposal)
        return PushReport(plan, None, proposal)
    try:
        kept_as = _keep(plan, repository, head)
        commit = settle(
            plan.wanted, plan.removed, repository, "main", message=message, parent=head, origin=proposed
        )
    except ForbiddenError as error:
        return PushReport(plan, None, proposal, refused=error.found)
    return _finish(plan, repository, commit, user, proposal, kept_as)


def _close(
    plan: PushPlan, repository: Repository, user: str, comment: str, *, but: PullRequest | None = None
) -> None:
    """Close the pull requests of this and of earlier runs with the same data, all but one."""
    for known in repository.pull_requests(user):
        if known.is_open and known.title.startswith(plan.subject) and known.number != (but and but.number):
            repository.close(known, comment)


def _description(plan: PushPlan) -> str:
    counts = ", ".join(f"{number} {fate}" for fate, number in count(plan.items).items())
    return (
        f"Built by so2sat_hf {plan.manifest.package_version}, format {plan.manifest.format_version}: "
        f"{plan.manifest.num_rows:,} patches.\n\nFiles: {counts}. Every file is listed in `{MANIFEST}` "
        "with its sha256."
    )


def count(items: Iterable[Item]) -> dict[str, int]:
    """Return what happens to files -> how many of them."""
    fates = [item.fate for item in items]
    return {fate: fates.count(fate) for fate in dict.fromkeys(fates)}


def _check(plan: PushPlan, repository: Repository, commit: str, telling: Telling) -> None:
    """Compare the hash of every file of the pull request, then load it."""
    there = repository.tree(commit)
    for path, file in plan.wanted.items():
        remote = there.get(path)
        if not file.is_same(remote):
            raise HubError(
                f"{repository.repo_id} at {commit[:7]}, {path}",
                found="missing" if remote is None else f"{remote.num_bytes:,} bytes, {remote.sha256}",
                expected=f"{file.num_bytes:,} bytes, {file.sha256}",
                remedy="main is unchanged; is there a .gitignore on the Hub?",
            )
    kept = {item.path for item in plan.items if not item.is_ours}
    others = sorted(there.keys() - plan.wanted.keys() - kept - {".gitattributes"})
    if others:
        raise HubError(
            f"{repository.repo_id} at {commit[:7]}",
            found=f"{len(others)} files that main does not have, e.g. {others[0]}",
            expected="main with the files of the dataset",
            remedy="somebody changed main or the pull request meanwhile: close it, and run again",
        )
    telling.say(f"it is complete at {commit[:7]}; loading every config from there")

    def attempt() -> None:
        try_loading(repository.repo_id, commit, plan.folder, plan.manifest)

    patiently(attempt, repository.patience, thing=repository.repo_id, say=repository.say)


def _keep(plan: PushPlan, repository: Repository, head: str) -> str | None:
    """Tag what main holds before it changes, if that is anything."""
    if all(item.fate == "new" or item.path == ".gitattributes" for item in plan.items):
        return None
    name = f"before-{plan.manifest.digest}"
    if repository.tags().get(name, head) != head:  # the same data came and went before
        name += f"-{head[:7]}"
    repository.tag(name, head)
    return name


def _finish(
    plan: PushPlan,
    repository: Repository,
    commit: str,
    user: str,
    proposal: PullRequest | None = None,
    kept_as: str | None = None,
) -> PushReport:
    """Tag the commit and close the pull request: all of it may have been done before."""
    steps: dict[str, Callable[[], None]] = {
        f"tag {name} was not set": partial(_tag, plan, repository, name, commit) for name in plan.tags
    }
    comment = f"Published on main as {commit}."
    steps["the pull request was not closed"] = partial(_close, plan, repository, user, comment)
    undone = []
    for sentence, step in steps.items():
        try:
            step()
        except ForbiddenError as error:
            undone.append(f"{sentence}: {error.found}")
    return PushReport(plan, commit, proposal, plan.tags, kept_as, undone=tuple(undone))


def _tag(plan: PushPlan, repository: Repository, name: str, commit: str) -> None:
    """Set a tag. That of the data stays where it is while it shows the same dataset."""
    known = repository.tags().get(name)
    if known and name.startswith("data-") and is_done(plan.wanted, repository.tree(known), plan.removed):
        return
    repository.tag(name, commit)
