"""A release of small files at its two places, and what is planned and fetched of it."""

from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer, Served
from small_release import hub_path, noise, release

from so2sat_hf.facts import SourceFile, Version
from so2sat_hf.hub.download import download
from so2sat_hf.hub.pieces import Plan, Selection, plan_download
from so2sat_hf.hub.transfer import Patience

FAST = Patience(tries=2, first_wait=0.001, silence=20.0)
HUB = {
    "training.h5.gz": noise(300_000, 1),
    "validation.h5.gz": noise(200_000, 2),
    "testing.h5.gz": noise(150_000, 3),
    "training_geo.h5@2026": noise(30_000, 4),
    "validation_geo.h5@2026": noise(20_000, 5),
    "testing_geo.h5@2026": noise(10_000, 6),
}
PLAIN = {
    "training.h5": noise(900_000, 7),
    "validation.h5": noise(600_000, 8),
    "testing.h5": noise(500_000, 9),
    "training_geo.h5@2025": noise(70_000, 10),
    "validation_geo.h5@2025": noise(60_000, 11),
    "testing_geo.h5@2025": noise(50_000, 12),
}
VERSION = release(PLAIN | HUB)


@pytest.fixture
def hub(server: FileServer) -> FileServer:
    """A Hub with the six files of it."""
    server.files = {hub_path(key.partition("@")[0]): Served(body) for key, body in HUB.items()}
    return server


def plan_of(server: FileServer, raw: Path, version: Version = VERSION, **wish: Any) -> Plan:
    if wish.get("mirror") == "mediatum":
        wish = {"base_url": f"{server.url}/dav", **wish}
    return plan_download(raw, Selection(endpoint=server.url, **wish), version=version)


def run(
    server: FileServer, raw: Path, version: Version = VERSION, *, checksum: bool = False, **wish: Any
) -> tuple[SourceFile, ...]:
    plan = plan_of(server, raw, version, **wish)
    return download(plan, raw, checksum=checksum, patience=FAST)
