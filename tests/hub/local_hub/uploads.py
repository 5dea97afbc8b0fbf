"""Endpoints of an upload: which files go where, LFS, the commit."""

import base64
import hashlib
import json
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

import yaml

from local_hub.access import may_push, readable, revision, role, signed_in
from local_hub.answers import Answer, Ask, Refusal
from local_hub.community import open_discussion
from local_hub.hub import LocalHub, User
from local_hub.store import REGULAR_LIMIT, Entry, Repo, is_lfs

TO_PULL = "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request"
QUOTA = "{} repository storage limit reached, please upgrade your plan to increase your {} storage limit."
LFS = {"Content-Type": "application/vnd.git-lfs+json"}


def pushable(hub: LocalHub, ask: Ask) -> Repo:
    """Return the repository, if the user may push to the revision or opens a pull request."""
    repo, user = readable(hub, ask), signed_in(ask)
    if ask.flag("create_pr"):
        if user.access != "write":
            raise Refusal(403, "Authorization error.")
    elif not may_push(user, repo, ask.parts["rev"]):
        raise Refusal(403, TO_PULL)
    return repo


def preupload(hub: LocalHub, ask: Ask) -> Answer:
    repo = pushable(hub, ask)
    files = repo.commits[revision(repo, ask.parts["rev"])].files
    modes = []
    for asked in ask.json()["files"]:
        path, there = checked_path(asked["path"]), files.get(asked["path"])
        mode = "lfs" if is_lfs(path, asked["size"]) else "regular"
        about = {"path": path, "uploadMode": mode, "shouldIgnore": is_ignored(path, repo, files)}
        modes.append({**about, **({"oid": there.sha256 or there.oid} if there else {})})
    return Answer({"files": modes})


def is_ignored(path: str, repo: Repo, files: Mapping[str, Entry]) -> bool:
    """Tell whether a .gitignore at the root names a file, or a folder that it lies in."""
    if ".gitignore" not in files:
        return False
    lines = repo.content(files[".gitignore"]).decode().split()
    return any(path.startswith(line) if line.endswith("/") else fnmatch(path, line) for line in lines)


def checked_path(path: str) -> str:
    """Return a path; raises Refusal where git could not hold it."""
    parts = path.split("/")
    if not path or any(part in ("", ".", "..", ".git") for part in parts):
        raise Refusal(400, f"Invalid path in repo: {path}")
    return path


def lfs_batch(hub: LocalHub, ask: Ask) -> Answer:
    repo, user, asked = readable(hub, ask), signed_in(ask), ask.json()
    if user.access != "write":
        raise Refusal(403, "Authorization error.")
    # Without a ref it may be for a pull request, which everybody can open.
    if "ref" in asked and not may_push(user, repo, asked["ref"]["name"]):
        raise Refusal(403, "Authorization error.")
    new = {item["oid"]: item["size"] for item in asked["objects"] if item["oid"] not in repo.objects}
    limits = [hub.quotas.get(repo.owner), user.quota]
    if new and hub.stored(repo.owner) + sum(new.values()) > min(
        [n for n in limits if n is not None] or [1e30]
    ):
        visibility = "Private" if repo.private else "Public"
        raise Refusal(403, QUOTA.format(visibility, visibility.lower()))
    objects = []
    for item in asked["objects"]:
        about: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
        if item["oid"] in new:
            verify = f"{hub.url}/{repo.kind}s/{repo.name}.git/info/lfs/verify"
            about["actions"] = {
                "upload": {"href": hub.storage(repo, item["oid"])},
                "verify": {"href": verify},
            }
        objects.append({**about, "authenticated": True})
    return Answer({"transfer": "basic", "objects": objects}, headers=LFS)


def lfs_put(hub: LocalHub, ask: Ask) -> Answer:
    """Take an LFS file at the storage, which knows signatures but no tokens."""
    repo, sha256 = at_storage(hub, ask)
    if hashlib.sha256(ask.body).hexdigest() != sha256:
        raise Refusal(400, "BadDigest: The content did not match what was signed")
    repo.objects[sha256] = ask.body
    return Answer(b"", headers={"ETag": f'"{hashlib.md5(ask.body, usedforsecurity=False).hexdigest()}"'})


def at_storage(hub: LocalHub, ask: Ask) -> tuple[Repo, str]:
    """Return the repository and the sha256 that a signed address names."""
    path = "{kind}/{owner}/{name}/{sha256}".format(**ask.parts)
    if "authorization" in ask.headers:
        raise Refusal(403, "The storage was sent an Authorization header: a token leaked")
    if ask.query.get("signature") != hub.signature(path):
        raise Refusal(403, "SignatureDoesNotMatch")
    repo = hub.repos.get((ask.parts["kind"][:-1], f"{ask.parts['owner']}/{ask.parts['name']}"))
    if repo is None:
        raise Refusal(404, "NoSuchBucket")
    return repo, ask.parts["sha256"]


def lfs_verify(hub: LocalHub, ask: Ask) -> Answer:
    repo, asked = readable(hub, ask), ask.json()
    signed_in(ask)
    if len(repo.objects.get(asked["oid"], b"")) != asked["size"]:
        raise Refusal(404, "Object does not exist, or has another size")
    return Answer({}, headers=LFS)


def commit(hub: LocalHub, ask: Ask) -> Answer:
    repo, user, name = pushable(hub, ask), signed_in(ask), ask.parts["rev"]
    if name in repo.commits or name in repo.tags:
        raise Refusal(400, f"Cannot commit to {name}: it is no branch")
    parent = revision(repo, name)
    lines = parsed(ask.body)
    about = next((line["value"] for line in lines if line["key"] == "header"), None)
    if about is None or not about.get("summary"):
        raise Refusal(400, "A commit needs a header with a summary")
    if ask.flag("create_pr"):
        parent = revision(repo, about.get("parentCommit") or parent)
    elif not parent.startswith(about.get("parentCommit") or ""):
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    files = changed(hub, repo, user, dict(repo.commits[parent].files), lines)
    check_card(repo, files)
    title, message = about["summary"], about.get("description") or ""
    prefix = f"{hub.url}/{'' if repo.kind == 'model' else repo.kind + 's/'}{repo.name}"
    answer = {"success": True}
    if ask.flag("create_pr"):
        pull = open_discussion(repo, user.name, title, message, is_pull=True, status="open", head=parent)
        name = f"refs/pr/{pull.number}"
        answer["pullRequestUrl"] = f"{prefix}/discussions/{pull.number}"
    made = repo.advance(name, files, title=title, author=user.name, message=message)
    return Answer({**answer, "commitOid": made.sha, "commitUrl": f"{prefix}/commit/{made.sha}"})


def parsed(body: bytes) -> list[dict[str, Any]]:
    """Lines of a commit."""
    try:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
    except ValueError as error:
        raise Refusal(400, "Invalid NDJSON") from error
    if not all(isinstance(line, dict) and "key" in line and "value" in line for line in lines):
        raise Refusal(400, "Invalid NDJSON: each line needs a key and a value")
    return lines


def changed(
    hub: LocalHub, repo: Repo, user: User, files: dict[str, Entry], lines: list[dict[str, Any]]
) -> dict[str, Entry]:
    """Return the tree after the operations of a commit."""
    for line in lines:
        key, value = line["key"], line["value"]
        if key == "header":
            continue
        path = checked_path(value.get("path", "").rstrip("/"))
        inside = [name for name in files if name.startswith(path + "/")]
        if key == "file":
            files[path] = regular(repo, path, value)
        elif key == "lfsFile":
            files[path] = pointed(hub, repo, user, value)
        elif key == "deletedFile" and path in files:
            del files[path]
        elif key == "deletedFolder" and inside:
            files = {name: entry for name, entry in files.items() if name not in inside}
        elif key in ("deletedFile", "deletedFolder"):
            raise Refusal(404, f"Cannot delete {path}: it does not exist", "EntryNotFound")
        else:
            raise Refusal(400, f"Unknown operation: {key}")
    clash = [path for path in files for other in files if other.startswith(path + "/")]
    if clash:
        raise Refusal(400, f"{clash[0]} is a file and a folder")
    return files


def regular(repo: Repo, path: str, value: dict[str, Any]) -> Entry:
    """Store a file that came with the commit."""
    content = value.get("content", "").encode()
    if value.get("encoding") == "base64":
        content = base64.b64decode(content, validate=True)
    if len(content) > REGULAR_LIMIT:
        raise Refusal(400, f"Your push was rejected because {path} is larger than 10 MB. Use LFS instead.")
    return repo.keep_regular(content)


def pointed(hub: LocalHub, repo: Repo, user: User, value: dict[str, Any]) -> Entry:
    """Return the entry of an LFS file that was uploaded before, here or where the user may read."""
    oid = value.get("oid", "")
    others = [other for other in hub.repos.values() if not other.private or role(user, other.owner)]
    content = next((other.objects[oid] for other in [repo, *others] if oid in other.objects), None)
    if content is None:
        raise Refusal(400, f"LFS pointer pointed to a file that does not exist: {value.get('path')} ({oid})")
    if value.get("size") not in (None, len(content)):
        raise Refusal(400, f"LFS pointer of {value.get('path')} has another size than the file")
    repo.objects[oid] = content
    return repo.lfs_entry(oid, len(content))


def problems(text: str) -> tuple[list[str], list[str]]:
    """Return what is wrong with a README (errors, warnings)."""
    if not text.startswith("---\n") or "\n---" not in text[3:]:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        head = yaml.safe_load(text.split("---\n")[1])
    except yaml.YAMLError as error:
        return [f"YAML Metadata Error: {error}"], []
    return ([], []) if isinstance(head, dict) else (["YAML Metadata Error: expected an object"], [])


def check_card(repo: Repo, files: dict[str, Entry]) -> None:
    errors, _ = problems(repo.content(files["README.md"]).decode()) if "README.md" in files else ([], [])
    if errors:
        raise Refusal(400, "Invalid metadata in README.md: " + errors[0])


def validate_yaml(hub: LocalHub, ask: Ask) -> Answer:
    errors, warnings = problems(ask.json().get("content", ""))
    found = {"errors": [{"message": e} for e in errors], "warnings": [{"message": w} for w in warnings]}
    return Answer(found, 400 if errors else 200)
