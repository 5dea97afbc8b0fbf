"""Endpoints of users, repositories, their trees and their references."""

import re
from typing import Any
from urllib.parse import urlencode

import yaml

from local_hub.access import may_create, may_write, readable, revision, role, signed_in, writable
from local_hub.answers import Answer, Ask, Refusal
from local_hub.hub import LocalHub
from local_hub.store import Commit, Entry, Repo, git_oid, pointer

NAME = re.compile(r"(?!.*(--|\.\.))(?!.*\.(git|ipynb)$)[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
REF = re.compile(r"(?!.*(\.\.|//|@\{))(?![./-])[^\s~^:?*\[\\\x00-\x1f]+(?<![./])(?<!\.lock)")


def whoami(hub: LocalHub, ask: Ask) -> Answer:
    user = signed_in(ask)
    orgs = [
        {"type": "org", "id": name, "name": name, "fullname": name, "roleInOrg": role, "isEnterprise": False}
        for name, role in user.orgs.items()
    ]
    token = {"displayName": "local", "role": user.access, "createdAt": "2026-01-01T00:00:00.000Z"}
    return Answer(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.name.title(),
            "email": f"{user.name}@example.org",
            "emailVerified": True,
            "isPro": False,
            "orgs": orgs,
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def create(hub: LocalHub, ask: Ask) -> Answer:
    user, asked = signed_in(ask), ask.json()
    namespace, kind = asked.get("organization") or user.name, asked.get("type") or "model"
    name = f"{namespace}/{asked.get('name')}"
    if kind not in ("model", "dataset", "space"):
        raise Refusal(400, '"type" must be one of [model, dataset, space]')
    if not NAME.fullmatch(str(asked.get("name"))):
        raise Refusal(400, "Invalid repo name: " + str(asked.get("name")) + ' - "name" must be a valid name')
    if not may_create(user, namespace):
        # The Hub says so even where the repository is there.
        raise Refusal(403, f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"')
    url = f"{hub.url}/{'' if kind == 'model' else kind + 's/'}{name}"
    if (kind, name) in hub.repos:
        taken = Refusal(409, f"You already created this {kind} repo").answer()
        return Answer({**taken.data, "url": url}, 409, taken.headers)
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    hub.repos[kind, name] = Repo(name, kind, private=private, creator=user.name)
    return Answer({"url": url, "name": name, "id": name})


def delete(hub: LocalHub, ask: Ask) -> Answer:
    user, asked = signed_in(ask), ask.json()
    kind = asked.get("type") or "model"
    namespace = asked.get("organization") or user.name
    ask.parts |= {"kind": f"{kind}s", "owner": namespace, "name": str(asked.get("name"))}
    repo = readable(hub, ask)
    if role(user, namespace) != "admin" or user.access != "write":
        raise Refusal(403, f"You don't have the rights to delete this {kind}")
    del hub.repos[repo.kind, repo.name]
    return Answer()


def settings(hub: LocalHub, ask: Ask) -> Answer:
    repo, asked = writable(hub, ask), ask.json()
    if "visibility" in asked or "private" in asked:
        repo.private = asked.get("visibility") == "private" or bool(asked.get("private"))
    return Answer({"private": repo.private})


def auth_check(hub: LocalHub, ask: Ask) -> Answer:
    repo = readable(hub, ask)
    if ask.parts.get("write") and not may_write(signed_in(ask), repo):
        raise Refusal(403, "Authorization error.")
    return Answer()


def card_data(repo: Repo, tree: dict[str, Entry]) -> dict[str, Any]:
    """Head of the README; empty where it has none."""
    if "README.md" not in tree:
        return {}
    text = repo.content(tree["README.md"]).decode(errors="replace")
    try:
        return yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else {}
    except (yaml.YAMLError, IndexError):
        return {}


def info(hub: LocalHub, ask: Ask) -> Answer:
    repo = readable(hub, ask)
    sha = revision(repo, ask.parts.get("rev") or "main")
    commit = repo.commits[sha]
    tree = dict(commit.files)
    siblings = [sibling(path, entry, blobs=ask.flag("blobs")) for path, entry in sorted(tree.items())]
    return Answer(
        {
            "_id": git_oid("repo", repo.name.encode())[:24],
            "id": repo.name,
            "author": repo.owner,
            "sha": sha,
            "createdAt": repo.created,
            "lastModified": commit.date,
            "private": repo.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "cardData": card_data(repo, tree),
            "siblings": siblings,
            "usedStorage": sum(map(len, repo.objects.values())),
        }
    )


def sibling(path: str, entry: Entry, *, blobs: bool) -> dict[str, Any]:
    about: dict[str, Any] = {"rfilename": path}
    if blobs:
        about |= {"size": entry.size, "blobId": entry.oid}
    if blobs and entry.sha256:
        about["lfs"] = {"sha256": entry.sha256, **lfs_of(entry)}
    return about


def lfs_of(entry: Entry) -> dict[str, int]:
    return {"size": entry.size, "pointerSize": len(pointer(entry.sha256 or "", entry.size))}


def last_commit(repo: Repo, sha: str, path: str) -> Commit:
    """Return the commit that made a file, or anything in a folder, what it is."""

    def here(commit: Commit) -> list[tuple[str, Entry]]:
        return sorted(item for item in commit.files.items() if (item[0] + "/").startswith(path + "/"))

    history = repo.history(sha)
    last, now = history[0], here(history[0])
    for commit in history[1:]:
        if here(commit) != now:
            break
        last = commit
    return last


def listed(repo: Repo, sha: str, path: str, *, expand: bool) -> dict[str, Any]:
    """Describe a file or a folder as the Hub lists it."""
    files = repo.commits[sha].files
    if path in files:
        entry = files[path]
        about: dict[str, Any] = {"type": "file", "oid": entry.oid, "size": entry.size, "path": path}
        if entry.sha256:
            about["lfs"] = {"oid": entry.sha256, **lfs_of(entry)}
    else:
        inside = sorted((name, entry.oid) for name, entry in files.items() if name.startswith(path + "/"))
        about = {"type": "directory", "oid": git_oid("tree", repr(inside).encode()), "size": 0, "path": path}
    if expand:
        last = last_commit(repo, sha, path)
        about["lastCommit"] = {"id": last.sha, "title": last.title, "date": last.date}
    return about


def folders(files: Any) -> set[str]:
    """Every folder that files lie in."""
    parts = [path.split("/") for path in files]
    return {"/".join(names[:depth]) for names in parts for depth in range(1, len(names))}


def tree(hub: LocalHub, ask: Ask) -> Answer:
    repo = readable(hub, ask)
    sha = revision(repo, ask.parts["rev"])
    files, root = repo.commits[sha].files, ask.parts.get("path") or ""
    below = root + "/" if root else ""
    everything = sorted({*files, *folders(files)})
    if root and root not in folders(files):
        raise Refusal(404, f'{root} does not exist on "{ask.parts["rev"]}"', "EntryNotFound")
    inside = [path for path in everything if path.startswith(below)]
    if not ask.flag("recursive"):
        inside = [path for path in inside if "/" not in path.removeprefix(below)]
    expand = ask.flag("expand")
    size = min(int(ask.query.get("limit", 1000)), hub.page_size, 50 if expand else 1000)
    page, head = paged(hub, ask, inside, size)
    return Answer([listed(repo, sha, path, expand=expand) for path in page], headers=head)


def paged(hub: LocalHub, ask: Ask, items: list[Any], size: int) -> tuple[list[Any], dict[str, str]]:
    """Return one page, and the header that names the next."""
    start = int(ask.query.get("cursor", 0))
    query = urlencode({**ask.query, "cursor": start + size})
    url = f"{hub.url}{ask.raw_path}?{query}"
    head = {"Link": f'<{url}>; rel="next"'} if start + size < len(items) else {}
    return items[start : start + size], head


def paths_info(hub: LocalHub, ask: Ask) -> Answer:
    repo, form = readable(hub, ask), ask.form()
    sha = revision(repo, ask.parts["rev"])
    known = {*repo.commits[sha].files, *folders(repo.commits[sha].files)}
    expand = form.get("expand", [""])[0].lower() == "true"
    asked = [path.strip("/") for path in form.get("paths", [])]
    return Answer([listed(repo, sha, path, expand=expand) for path in asked if path in known])


def commits(hub: LocalHub, ask: Ask) -> Answer:
    repo = readable(hub, ask)
    history = repo.history(revision(repo, ask.parts["rev"]))
    page, head = paged(hub, ask, history, min(50, hub.page_size))
    described = [
        {
            "id": commit.sha,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": commit.author, "avatar": ""}],
            "date": commit.date,
        }
        for commit in page
    ]
    return Answer(described, headers={"X-Total-Count": str(len(history)), **head})


def refs(hub: LocalHub, ask: Ask) -> Answer:
    repo = readable(hub, ask)

    def described(prefix: str, named: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "ref": prefix + name, "targetCommit": sha} for name, sha in named.items()]

    found = {
        "branches": described("refs/heads/", repo.branches),
        "converts": [],
        "tags": described("refs/tags/", repo.tags),
    }
    if ask.flag("include_prs"):
        pulls = repo.pulls.items()
        found["pullRequests"] = [
            {"name": f"pr/{n}", "ref": f"refs/pr/{n}", "targetCommit": p.head} for n, p in pulls
        ]
    return Answer(found)


def branch(hub: LocalHub, ask: Ask) -> Answer:
    """Make a branch, or delete it."""
    repo, name = writable(hub, ask), ask.parts["rev"]
    if ask.method == "DELETE":
        if name == "main":
            raise Refusal(403, "Cannot delete branch main")
        if repo.branches.pop(name, None) is None:
            raise Refusal(404, f"Invalid rev id: {name}", "RevisionNotFound")
        return Answer()
    if name in repo.branches:
        raise Refusal(409, f"Reference already exists: refs/heads/{name}")
    if not REF.fullmatch(name):
        raise Refusal(400, f"Invalid reference name: {name}")
    repo.branches[name] = revision(repo, ask.json().get("startingPoint") or "main")
    return Answer()


def tag(hub: LocalHub, ask: Ask) -> Answer:
    repo, name = writable(hub, ask), str(ask.json().get("tag", ""))
    sha = revision(repo, ask.parts["rev"])
    if name in repo.tags:
        raise Refusal(409, f"Tag reference exists already: refs/tags/{name}")
    if not REF.fullmatch(name):
        raise Refusal(400, f"Invalid reference name: {name}")
    repo.tags[name] = sha
    return Answer()


def delete_tag(hub: LocalHub, ask: Ask) -> Answer:
    repo, name = writable(hub, ask), ask.parts["rev"]
    if repo.tags.pop(name, None) is None:
        raise Refusal(404, f"Invalid rev id: {name}", "RevisionNotFound")
    return Answer()
