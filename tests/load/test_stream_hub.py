"""A stream over a repository on the Hub: the batches of the folder, fetched by row groups."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_folders import REPO, contents, put, sent
from local_hub import Fault, LocalHub
from torch.utils.data import DataLoader

from so2sat_hf.convert import shard as shard_module
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.load.stream import PatchStream

PLACE = f"hf://datasets/{REPO}"


@pytest.fixture(scope="module")
def folder(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of 130 rows for train, in row groups of 16."""
    folder = tmp_path_factory.mktemp("stream_hub") / "out"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shard_module, "ROW_GROUP_ROWS", 16)
        build(source, folder, BuildOptions(rows_per_shard=130), jobs=1)
    return folder


def batches_of(place: object, **options: Any) -> list[dict[str, Any]]:
    return list(PatchStream(place, "train", batch_size=32, seed=5, **options))  # type: ignore[arg-type]


def test_the_same_batches_as_from_the_folder(hub: LocalHub, folder: Path) -> None:
    """Order, values and dtypes; every row group is fetched once."""
    put(hub, folder)
    hub.reset_log()
    here, there = batches_of(folder), batches_of(PLACE)

    assert len(here) == len(there) == 9
    for mine, theirs in zip(here, there, strict=True):
        assert mine.keys() == theirs.keys()
        for name, values in mine.items():
            assert values.dtype == theirs[name].dtype
            assert np.array_equal(values, theirs[name])
    train = sum(shard.bytes for shard in Manifest.read(folder).shards_of("train"))
    assert train * 0.9 < sent(hub, "storage-get") < train * 1.2


def test_bands_of_one_sensor_fetch_one_sensor(hub: LocalHub, folder: Path) -> None:
    put(hub, folder)
    hub.reset_log()
    (first, *_) = batches_of(PLACE, bands=("B04", "B03", "B02"), columns=("sen2", "label"))

    assert first["sen2"].shape == (32, 3, 32, 32)
    train = sum(shard.bytes for shard in Manifest.read(folder).shards_of("train"))
    assert sent(hub, "storage-get") < 0.6 * train


def test_workers_and_a_private_repository(hub: LocalHub, login: Callable[[str], None], folder: Path) -> None:
    """Two workers read it with the token of this process, and no patch twice."""
    put(hub, folder, private=True)
    login(hub.add_user("maria", orgs={"zhu-xlab": "read"}))
    stream = PatchStream(PLACE, "train", batch_size=32, seed=5, columns=("id", "label"), form="torch")
    batches = list(DataLoader(stream, batch_size=None, num_workers=2))

    assert len({name for batch in batches for name in batch["id"]}) == 260
    assert sum(len(batch["label"]) for batch in batches) == 260


def test_a_cut_is_continued(hub: LocalHub, folder: Path) -> None:
    """The connection is lost in the middle of a row group: the batches are the same."""
    put(hub, folder)
    hub.inject(when=lambda request: request.kind == "storage-get", fault=Fault(cut=100_000), times=3)
    there = batches_of(PLACE)
    assert any(request.fault for request in hub.log)
    here = batches_of(folder)
    assert all(np.array_equal(a["sen2"], b["sen2"]) for a, b in zip(here, there, strict=True))


def test_a_streaming_dataset_of_the_hub(hub: LocalHub, folder: Path) -> None:
    """What load_dataset returned, for a config that shows one sensor: the same commit, the same batches."""
    from datasets import load_dataset

    hub.create_repo(REPO, files={**contents(folder), "README.md": (folder / "README.md").read_bytes()})
    streaming = load_dataset(REPO, "sen2", split="train", streaming=True)

    stream = PatchStream(streaming, batch_size=32, seed=5)

    there, here = list(stream), batches_of(folder)
    assert "sen1" not in there[0]
    for a, b in zip(here, there, strict=True):
        assert np.array_equal(a["sen2"], b["sen2"])
        assert list(a["id"]) == list(b["id"])
