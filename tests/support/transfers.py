"""One file of noise, and its transfer: without long waits, or given up after a few bytes."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer, Twist
from small_release import noise

from so2sat_hf.errors import SourceError
from so2sat_hf.hub.transfer import Patience, Remote, Wanted, Watch, fetch

BODY = noise(400_000)
CUT = 150_000
FAST = Patience(tries=3, first_wait=0.001, silence=20.0)
ONE_TRY = replace(FAST, tries=1)


def wanted(body: bytes) -> Wanted:
    return Wanted(len(body), hashlib.sha256(body).hexdigest())


def get(remote: Remote, tmp_path: Path, patience: Patience = FAST, **watch: Any) -> bytes:
    fetch(remote, tmp_path / "raw", patience=patience, watch=Watch(**watch))
    return (tmp_path / "raw" / remote.name).read_bytes()


def cut_once(remote: Remote, server: FileServer, tmp_path: Path) -> Path:
    """Leave the first CUT bytes in the folder, as a run does that gave up; return the partial file."""
    server.twists = [Twist(drop_after=CUT)]
    with pytest.raises(SourceError):
        get(remote, tmp_path, ONE_TRY)
    server.seen.clear()
    part = tmp_path / "raw" / "file.h5.part"
    assert part.read_bytes() == BODY[:CUT]
    return part
