"""Endpoints of discussions and pull requests."""

from typing import Any

from local_hub.access import may_write, readable, signed_in
from local_hub.answers import Answer, Ask, Refusal
from local_hub.hub import LocalHub
from local_hub.store import Comment, Entry, Pull, Repo, git_oid, now

OPEN = ("open", "draft")
PAGE = 50


def open_discussion(
    repo: Repo, author: str, title: str, text: str, *, is_pull: bool, status: str, head: str = ""
) -> Pull:
    """Open a discussion, or a pull request from a commit of main."""
    number = len(repo.discussions) + 1
    base = head or repo.head("main")
    pull = Pull(number, title, author, status, base, base, is_pull=is_pull)
    repo.discussions[number] = pull
    say(pull, author, text)
    return pull


def happen(pull: Pull, author: str, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Add an event to the history of a discussion."""
    name = git_oid("event", f"{pull.number}/{len(pull.events)}".encode())[:24]
    event = {"id": name, "type": kind, "createdAt": now(), "author": {"name": author}, "data": data}
    pull.events.append(event)
    return event


def say(pull: Pull, author: str, text: str) -> dict[str, Any]:
    pull.comments.append(Comment(author, text))
    latest = {"raw": text, "html": text, "updatedAt": now(), "author": {"name": author}}
    data = {"edited": False, "hidden": False, "latest": latest, "history": [latest]}
    return happen(pull, author, "comment", data)


def described(repo: Repo, pull: Pull) -> dict[str, Any]:
    return {
        "num": pull.number,
        "title": pull.title,
        "author": {"name": pull.author},
        "createdAt": pull.created,
        "status": pull.status,
        "repo": {"name": repo.name, "type": repo.kind},
        "isPullRequest": pull.is_pull,
    }


def found(hub: LocalHub, ask: Ask) -> tuple[Repo, Pull]:
    repo = readable(hub, ask)
    if int(ask.parts["number"]) not in repo.discussions:
        raise Refusal(404, "Discussion not found")
    return repo, repo.discussions[int(ask.parts["number"])]


def changeable(hub: LocalHub, ask: Ask) -> tuple[Repo, Pull]:
    """Return a discussion that the user opened, or of a repository that they write."""
    repo, pull = found(hub, ask)
    user = signed_in(ask)
    if user.access != "write" or (user.name != pull.author and not may_write(user, repo)):
        raise Refusal(403, "Authorization error.")
    return repo, pull


def discussion_list(hub: LocalHub, ask: Ask) -> Answer:
    repo, query = readable(hub, ask), ask.query
    kinds = {"discussion": (False,), "pull_request": (True,)}.get(query.get("type", "all"), (False, True))
    states = {"open": OPEN, "closed": ("closed", "merged")}.get(query.get("status", "all"))
    fitting = [
        described(repo, pull)
        for pull in reversed(repo.discussions.values())
        if pull.is_pull in kinds
        and (states is None or pull.status in states)
        and query.get("author", pull.author) == pull.author
    ]
    size = min(PAGE, hub.page_size)
    start = int(query.get("p", 0)) * size
    page = fitting[start : start + size]
    return Answer({"discussions": page, "count": len(fitting), "start": start, "numClosedDiscussions": 0})


def discussion_new(hub: LocalHub, ask: Ask) -> Answer:
    repo, user, asked = readable(hub, ask), signed_in(ask), ask.json()
    title, is_pull = str(asked.get("title", "")).strip(), bool(asked.get("pullRequest"))
    if user.access != "write":
        raise Refusal(403, "Authorization error.")
    if not 3 <= len(title) <= 200:
        raise Refusal(400, '"title" length must be between 3 and 200 characters')
    status = "draft" if is_pull else "open"
    pull = open_discussion(
        repo, user.name, title, str(asked.get("description", "")), is_pull=is_pull, status=status
    )
    return Answer({"num": pull.number, "pullRequest": is_pull, "url": f"/discussions/{pull.number}"})


def discussion_get(hub: LocalHub, ask: Ask) -> Answer:
    repo, pull = found(hub, ask)
    about = {**described(repo, pull), "events": pull.events, "filesWithConflicts": []}
    if pull.is_pull:
        about["changes"] = {"base": "refs/heads/main"}
        if pull.merged:
            about["changes"]["mergeCommitId"] = pull.merged
        else:
            about["filesWithConflicts"] = merged_tree(repo, pull)[1]
        about["diff"] = ""
    return Answer(about)


def comment(hub: LocalHub, ask: Ask) -> Answer:
    _, pull = found(hub, ask)
    user, text = signed_in(ask), str(ask.json().get("comment", ""))
    if user.access != "write":
        raise Refusal(403, "Authorization error.")
    if not text:
        raise Refusal(400, '"comment" is not allowed to be empty')
    return Answer({"newMessage": say(pull, user.name, text)})


def title(hub: LocalHub, ask: Ask) -> Answer:
    _, pull = changeable(hub, ask)
    data = {"from": pull.title, "to": str(ask.json().get("title", ""))}
    pull.title = data["to"]
    return Answer({"newTitle": happen(pull, signed_in(ask).name, "title-change", data)})


def status(hub: LocalHub, ask: Ask) -> Answer:
    _, pull = changeable(hub, ask)
    user, asked = signed_in(ask), ask.json()
    if asked.get("status") not in ("open", "closed"):
        raise Refusal(400, '"status" must be one of [open, closed]')
    if pull.status == "merged":
        raise Refusal(400, "The pull request was merged")
    if asked.get("comment"):
        say(pull, user.name, asked["comment"])
    pull.status = asked["status"]
    return Answer({"newStatus": happen(pull, user.name, "status-change", {"status": pull.status})})


def merged_tree(repo: Repo, pull: Pull) -> tuple[dict[str, Entry], list[str]]:
    """Return main with the changes of a pull request, and the files that both have changed."""
    base, ours, theirs = (repo.commits[sha].files for sha in (pull.base, repo.head("main"), pull.head))
    tree, conflicts = dict(ours), []
    for path in sorted({*base, *theirs}):
        before, after = base.get(path), theirs.get(path)
        if after == before:
            continue
        if ours.get(path) not in (before, after):
            conflicts.append(path)
        tree.pop(path, None)
        if after:
            tree[path] = after
    return tree, conflicts


def merge(hub: LocalHub, ask: Ask) -> Answer:
    repo, pull = found(hub, ask)
    user = signed_in(ask)
    if not may_write(user, repo):
        raise Refusal(403, "Authorization error.")
    if not pull.is_pull or pull.status != "open":
        raise Refusal(400, f"This pull request cannot be merged: it is {pull.status}")
    tree, conflicts = merged_tree(repo, pull)
    if conflicts:
        raise Refusal(409, f"Conflicts in {', '.join(conflicts)}")
    text = str(ask.json().get("comment") or "")
    if text:
        say(pull, user.name, text)
    name = f"{pull.title} (#{pull.number})"
    pull.merged = repo.advance("main", tree, title=name, author=pull.author).sha
    pull.status = "merged"
    happen(pull, user.name, "status-change", {"status": "merged"})
    return Answer()
