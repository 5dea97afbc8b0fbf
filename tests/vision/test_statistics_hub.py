"""Presets whose numbers come from a dataset on the Hub."""

from pathlib import Path

from hub_folders import REPO, put, sent
from local_hub import LocalHub

from so2sat_hf.vision.catalogue import preset


def test_a_repository_gives_its_statistics(hub: LocalHub, built: Path) -> None:
    """Those of the folder that was published, and hardly a byte more."""
    put(hub, built)

    found = preset("all", REPO)

    assert found == preset("all", built)
    assert sent(hub) < 200_000
