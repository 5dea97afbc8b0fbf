"""Endpoints that hand out files."""

import re

from local_hub.access import readable, revision
from local_hub.answers import Answer, Ask, Refusal
from local_hub.hub import LocalHub
from local_hub.uploads import at_storage

RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def resolve(hub: LocalHub, ask: Ask) -> Answer:
    """Answer with a regular file, or with the address of an LFS file at the storage."""
    repo = readable(hub, ask)
    sha = revision(repo, ask.parts["rev"])
    entry = repo.commits[sha].files.get(ask.parts["path"])
    if entry is None:
        raise Refusal(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": sha})
    name = ask.parts["path"].rpartition("/")[2]
    head = {"X-Repo-Commit": sha, "Content-Disposition": f'inline; filename="{name}"'}
    if not entry.sha256:
        return partial(ask, repo.content(entry), {**head, "ETag": f'"{entry.oid}"'})
    address = hub.storage(repo, entry.sha256)
    head |= {"X-Linked-Size": str(entry.size), "X-Linked-ETag": f'"{entry.sha256}"', "Location": address}
    text = f"Found. Redirecting to {address}".encode()
    return Answer(text, 302, {**head, "Content-Type": "text/plain", "Accept-Ranges": "bytes"})


def storage_get(hub: LocalHub, ask: Ask) -> Answer:
    repo, sha256 = at_storage(hub, ask)
    if sha256 not in repo.objects:
        raise Refusal(404, "NoSuchKey")
    return partial(ask, repo.objects[sha256], {"ETag": f'"{sha256}"'})


def partial(ask: Ask, content: bytes, head: dict[str, str]) -> Answer:
    """Answer with a file or the range that is asked for."""
    size = len(content)
    head = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **head}
    match = RANGE.fullmatch(ask.headers.get("range", ""))
    condition = ask.headers.get("if-range", head["ETag"])
    if not match or not any(match.groups()) or condition != head["ETag"]:
        return Answer(content, 200, head)
    first, last = match.groups()
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= size or end <= start:
        return Answer(b"", 416, {**head, "Content-Range": f"bytes */{size}"})
    return Answer(content[start:end], 206, {**head, "Content-Range": f"bytes {start}-{end - 1}/{size}"})
