"""Which endpoint answers which address."""

import re
from collections.abc import Callable
from urllib.parse import unquote

from local_hub import community, downloads, repositories, uploads
from local_hub.access import identify
from local_hub.answers import Answer, Ask, Refusal
from local_hub.hub import LocalHub

Endpoint = Callable[[LocalHub, Ask], Answer]

ID = r"(?P<owner>[^/]+)/(?P<name>[^/]+?)"
API = r"/api/(?P<kind>models|datasets|spaces)/" + ID
WEB = r"/(?:(?P<kind>models|datasets|spaces)/)?" + ID
REV = r"(?P<rev>refs/(?:pr|convert|heads|tags)/[^/]+|[^/]+)"
ONE = API + r"/discussions/(?P<number>\d+)"
OBJECT = r"/storage/(?P<kind>models|datasets|spaces)/" + ID + r"/(?P<sha256>[0-9a-f]{64})"

ROUTES: list[tuple[str, str, str, Endpoint]] = [
    ("GET", "/api/whoami-v2", "whoami", repositories.whoami),
    ("POST", "/api/repos/create", "create", repositories.create),
    ("DELETE", "/api/repos/delete", "delete", repositories.delete),
    ("POST", "/api/validate-yaml", "validate-yaml", uploads.validate_yaml),
    ("GET", API + r"(?:/revision/" + REV + ")?", "info", repositories.info),
    ("GET", API + "/auth-check(?P<write>/write)?", "auth-check", repositories.auth_check),
    ("PUT", API + "/settings", "settings", repositories.settings),
    ("GET", API + "/refs", "refs", repositories.refs),
    ("GET", API + "/tree/" + REV + r"(?:/(?P<path>.+))?", "tree", repositories.tree),
    ("POST", API + "/paths-info/" + REV, "paths-info", repositories.paths_info),
    ("GET", API + "/commits/" + REV, "commits", repositories.commits),
    ("POST|DELETE", API + "/branch/" + REV, "branch", repositories.branch),
    ("POST", API + "/tag/" + REV, "tag", repositories.tag),
    ("DELETE", API + "/tag/" + REV, "delete-tag", repositories.delete_tag),
    ("POST", API + "/preupload/" + REV, "preupload", uploads.preupload),
    ("POST", API + "/commit/" + REV, "commit", uploads.commit),
    ("POST", WEB + r"\.git/info/lfs/objects/batch", "lfs-batch", uploads.lfs_batch),
    ("POST", WEB + r"\.git/info/lfs/verify", "lfs-verify", uploads.lfs_verify),
    ("PUT", OBJECT, "lfs-put", uploads.lfs_put),
    ("GET", API + "/discussions", "discussion-list", community.discussion_list),
    ("POST", API + "/discussions", "discussion-new", community.discussion_new),
    ("GET", ONE, "discussion-get", community.discussion_get),
    ("POST", ONE + "/comment", "comment", community.comment),
    ("POST", ONE + "/title", "title", community.title),
    ("POST", ONE + "/status", "status", community.status),
    ("POST", ONE + "/merge", "merge", community.merge),
    ("GET|HEAD", OBJECT, "storage-get", downloads.storage_get),
    ("HEAD", WEB + "/resolve/" + REV + "/(?P<path>.+)", "resolve-head", downloads.resolve),
    ("GET", WEB + "/resolve/" + REV + "/(?P<path>.+)", "resolve-get", downloads.resolve),
]
COMPILED = [(methods.split("|"), re.compile(path), kind, run) for methods, path, kind, run in ROUTES]


def unknown(hub: LocalHub, ask: Ask) -> Answer:
    raise Refusal(404, "Sorry, we can't find the page you are looking for.")


def route(method: str, raw_path: str) -> tuple[str, dict[str, str], Endpoint]:
    """Return the kind of a request, the unquoted parts of its path, and what answers it."""
    for methods, pattern, kind, run in COMPILED:
        match = pattern.fullmatch(raw_path) if method in methods else None
        if match:
            parts = {name: unquote(part) for name, part in match.groupdict().items() if part}
            return kind, parts, run
    return "other", {}, unknown


def work(hub: LocalHub, ask: Ask, run: Endpoint) -> Answer:
    """Do what is asked for. One request is worked off after the other."""
    with hub.lock:
        try:
            if not ask.raw_path.startswith("/storage/"):
                ask.user = identify(hub, ask.headers)
            return run(hub, ask)
        except Refusal as refusal:
            return refusal.answer()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return Refusal(400, f"The request is malformed: {error!r}").answer()
