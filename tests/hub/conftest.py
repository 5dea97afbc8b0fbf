"""Servers and files for the tests of transfers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from file_server import FileServer, serving
from hub_samples import FILES, ID
from huggingface_hub import HfApi
from local_hub import LocalHub, Repo

from so2sat_hf.hub import transfer


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as files:
        yield files


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that would have been waited between tries."""
    waited: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", waited.append)
    return waited


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local servers may be asked, with a token, and nobody else is told."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")


@pytest.fixture
def names(tmp_path: Path) -> Callable[[], list[str]]:
    """What lies in the folder that files are fetched into."""
    return lambda: sorted(path.name for path in (tmp_path / "raw").rglob("*"))


@pytest.fixture
def refuse_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let every disk have that many bytes free."""

    def refuse(free: int) -> None:
        usage: Any = type("Usage", (), {"free": free})
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)

    return refuse


@pytest.fixture
def api(hub: LocalHub, login: Callable[[str], None]) -> HfApi:
    """Of Maria, who may write the repositories of zhu-xlab."""
    login(hub.add_user("maria", orgs={"zhu-xlab": "write"}))
    return HfApi()


@pytest.fixture
def repo(hub: LocalHub) -> Repo:
    """Public dataset zhu-xlab/So2Sat-LCZ42 with a README and two Parquet files."""
    return hub.create_repo(ID, files=FILES)


@pytest.fixture
def stranger(hub: LocalHub) -> HfApi:
    """Of Tom, who belongs to no organization."""
    return HfApi(token=hub.add_user("tom"))
