"""Servers, files, built folders and repositories for the tests of this room."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from file_server import FileServer, Served, serving
from hub_samples import FILES, ID
from huggingface_hub import HfApi
from local_hub import LocalHub, Repo
from publishing import FOREIGN, REPO
from transfers import BODY, wanted

from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.hub import transfer
from so2sat_hf.hub.transfer import Remote


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as files:
        yield files


@pytest.fixture
def remote(server: FileServer) -> Remote:
    """BODY, served without any fault unless a test adds one."""
    server.files["/file.h5"] = Served(BODY)
    return Remote(
        name="file.h5",
        url=f"{server.url}/file.h5",
        headers={"authorization": "Bearer hf_secret"},
        wanted=(wanted(BODY),),
        algorithm="sha256",
        with_ranges=True,
        advice="take --from elsewhere",
    )


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


@pytest.fixture(scope="module")
def smaller(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset to push, in few files."""
    folder = tmp_path_factory.mktemp("push") / "smaller"
    build(source, folder, BuildOptions(columns=("sen2",)), jobs=1)
    return folder


@pytest.fixture(scope="module")
def more(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one, in more files."""
    folder = tmp_path_factory.mktemp("push") / "more"
    build(source, folder, BuildOptions(columns=("sen2",), rows_per_shard=40), jobs=1)
    return folder


@pytest.fixture
def there(hub: LocalHub, login: Callable[[str], None]) -> LocalHub:
    """The repository as it is today: raw files and a page."""
    login(hub.add_user("maria", orgs={"zhu-xlab": "write"}))
    hub.create_repo(REPO, files=FOREIGN)
    hub.reset_log()
    return hub
