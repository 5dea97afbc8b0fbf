"""Fixtures of all rooms: generated files of the published layout, quiet and empty caches."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_address import HUB_SOCKET, HUB_URL

# All of these before datasets is imported.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="so2sat-hf-home-")
os.environ["HF_ENDPOINT"] = HUB_URL
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
# Before torch: threads that wait for each other sleep. Two processes of tests on two cores would spin.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import h5py
import numpy as np
import pytest
import without_torch
from hypothesis import HealthCheck, settings

from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.synthetic import write_raw

# What tests share says what was not equal, as tests do.
pytest.register_assert_rewrite(
    "by_id_folders", "by_id_repositories", "hub_samples", "table_folders", "transfers",
    "bench", "harms", "jobs", "runs",
)  # fmt: skip

# Workers of pytest-xdist ignore Ctrl-C, and all that they start would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Slow is the machine, with other work on it.
settings.register_profile(
    "so2sat",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("so2sat")

if TYPE_CHECKING:
    from local_hub import LocalHub

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with 5 real patches and 24,119 real geolocation rows, beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("the real patches and positions are not beside this checkout (../shared/data)")
    return SHARED


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated training.h5 (260 rows), validation.h5 (90), testing.h5 (70) with geo files of 2026."""
    folder = tmp_path_factory.mktemp("raw")
    write_raw(folder, train=260, validation=90, test=70, seed=3, geo="2026")
    return folder


@pytest.fixture(scope="session")
def source(raw: Path) -> RawSource:
    return open_raw(raw)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    from pages_shown import opened_browser

    with opened_browser() as opened:
        yield opened


@pytest.fixture
def write_h5(tmp_path: Path) -> Callable[..., Path]:
    """Write a small valid image file; any dataset can be replaced, or left out (None)."""

    def write(
        name: str = "training.h5", *, num_rows: int = 6, folder: Path | None = None, **replace: Any
    ) -> Path:
        folder = folder or tmp_path / "raw"
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(num_rows)
        arrays = {
            "sen1": rng.normal(size=(num_rows, 32, 32, 8)).astype(np.float32).astype(np.float64),
            "sen2": rng.integers(1, 28_003, (num_rows, 32, 32, 10)) / 10_000,
            "label": np.eye(17)[rng.integers(0, 17, num_rows)],
        }
        arrays["sen1"][..., 4:6] = np.abs(arrays["sen1"][..., 4:6])  # intensities
        with h5py.File(folder / name, "w") as file:
            for key, array in {**arrays, **replace}.items():
                if array is not None:
                    file[key] = array
        return folder / name

    return write


@pytest.fixture
def write_geo() -> Callable[..., Path]:
    """Write a geo file of the 2026 layout beside an image file: every patch in the centre of Munich."""

    def write(image: Path, num_rows: int = 6, **replace: Any) -> Path:
        path = image.with_name(f"{image.stem}_geo.h5")
        corner = [10.0, 0.0, 0.0, -10.0, 691_600.0, 5_334_800.0]
        arrays = {
            "tfw": np.tile(corner, (num_rows, 1)),
            "epsg": np.full((num_rows, 1), 32632, np.int32),
            "city": np.array([b"munich"] * num_rows),
        }
        with h5py.File(path, "w") as file:
            for key, array in {**arrays, **replace}.items():
                if array is not None:
                    file[key] = array
        return path

    return write


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(without_torch)


def pytest_unconfigure() -> None:
    HUB_SOCKET.close()
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)  # hundreds of megabytes


@pytest.fixture(scope="session")
def hub_server() -> Iterator["LocalHub"]:
    """Serve the local Hub at the address that every client has had since its import."""
    from local_hub import serving

    with serving(HUB_SOCKET) as hub:
        yield hub


@pytest.fixture
def hub(hub_server: "LocalHub", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["LocalHub"]:
    """Empty local Hub; clients of this process may ask it, without a token, and with empty caches."""
    from huggingface_hub import HfFileSystem

    home = tmp_path / "hf-home"
    hub_server.reset()
    HfFileSystem.clear_instance_cache()  # they remember listings
    for name, value in _hub_variables(home).items():
        monkeypatch.setenv(name, value)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    _redirect_caches(home, monkeypatch)
    yield hub_server
    hub_server.reset()  # whoever still waits for an answer is let go


def _hub_variables(home: Path) -> dict[str, str]:
    """Return the environment of clients that may ask the local Hub."""
    home.mkdir()
    # Without it clients would ask the Hub for this list, once a day.
    (home / ".agent_harnesses.json").write_text('{"harnesses": {}, "standardEnvVars": []}')
    ours = {"HF_ENDPOINT": HUB_URL, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    return {**ours, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def _redirect_caches(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give huggingface_hub and datasets, which read the environment once, other folders."""
    import datasets.config
    from huggingface_hub import constants

    theirs: dict[str, Any] = {
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HUGGINGFACE_HUB_CACHE": str(home / "hub"),
        "HF_ASSETS_CACHE": str(home / "assets"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        "AGENT_HARNESSES_PATH": str(home / ".agent_harnesses.json"),
    }
    for name, value in theirs.items():
        monkeypatch.setattr(constants, name, value)
    theirs = {
        "HF_HUB_OFFLINE": False,
        "HF_DATASETS_OFFLINE": False,
        "HF_CACHE_HOME": str(home),
        "HF_DATASETS_CACHE": home / "datasets",
        "HF_MODULES_CACHE": home / "modules",
        "DOWNLOADED_DATASETS_PATH": home / "datasets" / "downloads",
        "EXTRACTED_DATASETS_PATH": home / "datasets" / "downloads" / "extracted",
    }
    for name, value in theirs.items():
        monkeypatch.setattr(datasets.config, name, value)


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let huggingface_hub find a token."""
    return lambda token: monkeypatch.setenv("HF_TOKEN", token)


@pytest.fixture
def hub_environment(hub: "LocalHub", tmp_path: Path) -> dict[str, str]:
    """Environment of a subprocess that may ask the local Hub: empty caches, no token."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    return {**keep, **quiet, **_hub_variables(tmp_path / "hf-home-of-subprocess")}


LONG = (
    "test_demo.py", "faults/test_faults.py", "hub/test_push_faults.py", "maps/test_lcz_map_runs.py",
    "maps/test_lcz_map.py", "training/test_two_processes.py", "hub/test_push_cli.py", "hub/test_push.py",
    "test_docs.py", "training/test_finetune.py", "test_examples.py", "convert/test_kill.py",
)  # fmt: skip
"""Files that take longest: first, so that no core waits for one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files; within a file the order stays."""
    rank = {name: number for number, name in enumerate(LONG)}
    folder = Path(__file__).parent
    items.sort(key=lambda item: rank.get(item.path.relative_to(folder).as_posix(), len(rank)))
