"""Built folders as repositories of the local Hub, and what their readers asked for."""

from collections import Counter
from pathlib import Path

from local_hub import LocalHub, Repo

from so2sat_hf.convert.manifest import MANIFEST, Manifest
from so2sat_hf.hub.patience import Patience

REPO = "zhu-xlab/So2Sat-LCZ42"

QUICK = Patience(tries=3, first_wait=0.005, longest_wait=0.01, silence=0.4)


def contents(folder: Path) -> dict[str, bytes]:
    """Path -> bytes of the files of a built folder, as they lie in a repository."""
    return {path: (folder / path).read_bytes() for path in (*Manifest.read(folder).paths, MANIFEST)}


def put(hub: LocalHub, folder: Path, name: str = REPO, *, private: bool = False) -> Repo:
    """Make a repository of a built folder; the log is empty afterwards."""
    repo = hub.create_repo(name, files=contents(folder), private=private)
    hub.reset_log()
    return repo


def asked(hub: LocalHub) -> Counter[str]:
    """Kind -> number of requests since the log was last reset."""
    return Counter(request.kind for request in hub.log)


def sent(hub: LocalHub, *kinds: str) -> int:
    """Bytes of bodies that were sent in answers of these kinds, or of all."""
    return sum(request.sent for request in hub.log if not kinds or request.kind in kinds)
