"""PatchStream over real files: the published values, those asked for, by epochs; threads that end."""

import pickle
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from stream_folders import (
    EVERY_ID,
    NUM_ROWS,
    WORKERS,
    flat,
    folders,
    ids,
    loader,
    published,
    same,
    small_parts,
)

from so2sat_hf import facts
from so2sat_hf.convert.patches import row_id
from so2sat_hf.errors import FolderError, So2SatError, SourceError
from so2sat_hf.load import feeder as feeder_module
from so2sat_hf.load.progress import Progress
from so2sat_hf.load.stream import PatchStream

__all__ = ["folders", "published", "small_parts"]  # fixtures

pytestmark = WORKERS


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("so2sat-decode")]


# ---- the right values


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_hold_the_published_values(
    folders: dict[str, Path], published: dict[str, Any], kind: str, *, shuffle: bool
) -> None:
    """Every column, shuffled or in stored order; all batches are full but the last."""
    stream = PatchStream(folders[kind], batch_size=48, shuffle=shuffle)

    batches = list(stream)

    assert [len(batch["label"]) for batch in batches] == [48] * 5 + [20]
    assert len(stream) == 6
    assert all(same(batch, published) for batch in batches)
    assert Counter(flat(batches)) == Counter(EVERY_ID)
    assert list(batches[0]) == list(published) or set(batches[0]) == set(published)
    kinds = {"sen1": "f4", "sen2": "f4", "label": "i8", "id": "O", "city": "O", "epsg": "i4", "x_ul": "f8"}
    assert {name: batches[0][name].dtype for name in kinds} == {n: np.dtype(k) for n, k in kinds.items()}
    assert (flat(batches) == list(published["id"])) is not shuffle


def test_digital_numbers_stay_what_they_are(folders: dict[str, Path], published: dict[str, Any]) -> None:
    (batch,) = PatchStream(folders["uint16"], batch_size=300, shuffle=False, columns=["sen2"])

    assert list(batch) == ["sen2"]
    assert batch["sen2"].dtype == np.uint16
    assert np.array_equal(batch["sen2"], np.rint(published["sen2"] * 10_000))


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_bands_come_in_the_order_given(
    folders: dict[str, Path], published: dict[str, Any], kind: str
) -> None:
    """Each sensor keeps those that were named; one without any is left out."""
    numbers = [facts.band(name).index for name in ("B04", "B03", "B11")]

    (both,) = PatchStream(folders[kind], batch_size=300, shuffle=False, bands=("B04", "VV_lee", "B03", "B11"))
    (one,) = PatchStream(folders[kind], batch_size=300, shuffle=False, bands=["VH_lee"])

    assert np.array_equal(both["sen2"], published["sen2"][:, numbers])
    assert np.array_equal(both["sen1"], published["sen1"][:, [5]])
    assert "sen2" not in one
    assert np.array_equal(one["sen1"], published["sen1"][:, [4]])


def test_tensors_share_the_memory_of_the_arrays(folders: dict[str, Path], published: dict[str, Any]) -> None:
    (batch,) = PatchStream(folders["parquet"], batch_size=300, shuffle=False, form="torch")
    (numbers,) = PatchStream(folders["uint16"], batch_size=300, form="torch", columns=["sen2"])

    assert batch["id"] == list(published["id"])
    assert torch.equal(batch["sen2"], torch.from_numpy(published["sen2"]))
    assert batch["label"].dtype == torch.int64
    assert numbers["sen2"].dtype == torch.uint16


def test_a_batch_is_the_consumers_own(folders: dict[str, Path], published: dict[str, Any]) -> None:
    """It may be kept and written to: nothing that comes later is changed by it, nor changes it."""
    batches = []
    for batch in PatchStream(folders["parquet"], batch_size=16, window=1):
        batches.append({name: values.copy() for name, values in batch.items()})
        batch["sen2"][:] = -1
        batches.append(batch)

    assert all(same(batch, published) for batch in batches[::2])
    assert all((batch["sen2"] == -1).all() for batch in batches[1::2])


# ---- ids


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_only_the_ids_asked_for(
    folders: dict[str, Path], published: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    """A list, a table or a file; order and repetition do not matter, ids of other splits are passed over."""
    rows = [3, 200, 17, 18, 90, 3]
    some = [row_id("training", row) for row in rows]
    pq.write_table(pa.table({"id": some}), tmp_path / "some.parquet")

    for choice in (some, pa.table({"id": some}), tmp_path / "some.parquet", [*some, "testing/000003"]):
        stream = PatchStream(folders[kind], ids=choice, batch_size=3)
        batches = list(stream)
        assert len(stream) == len(batches) == 2
        assert stream.num_patches == 5
        assert sorted(flat(batches)) == sorted(set(some))
        assert all(same(batch, published) for batch in batches)


def test_ids_that_are_not_there_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(So2SatError, match=r"1 of 2 ids are not in it, e\.g\. training/000260"):
        PatchStream(folders["parquet"], ids=["training/000001", "training/000260"])
    with pytest.raises(So2SatError, match="1 of 1 ids are not in it"):
        PatchStream(folders["parquet"], ids=["testing/000001"])


# ---- epochs


def test_epochs_follow_each_other(folders: dict[str, Path]) -> None:
    """Each pass gives the next one, another order; a stream set to an epoch gives that one again."""
    stream, other = (PatchStream(folders["parquet"], batch_size=64, columns=["id"]) for _ in range(2))

    first, second = ids(stream), ids(stream)
    other.set_epoch(1)

    assert stream.epoch == 2
    assert first != second
    assert ids(other) == second
    assert ids(PatchStream(folders["arrow"], batch_size=64, columns=["id"])) == first
    assert ids(PatchStream(folders["arrow"], batch_size=64, columns=["id"], seed=1)) != first


def test_a_pass_left_early_begins_again(folders: dict[str, Path]) -> None:
    stream = PatchStream(folders["parquet"], batch_size=64, columns=["id"])
    whole = ids(PatchStream(folders["parquet"], batch_size=64, columns=["id"]))

    next(iter(stream))

    assert stream.epoch == 0
    assert ids(stream) == whole


def test_an_epoch_is_over_when_every_worker_says_so() -> None:
    """Also for more workers in the next pass; one that was overtaken by set_epoch is not heard."""
    progress = Progress()
    assert progress.begin(2) == 0
    progress.end(0, 0, 2)
    assert (progress.epoch, progress.begin(2)) == (0, 0)

    progress.end(0, 1, 2)
    assert (progress.epoch, progress.begun, progress.workers, progress.begin(5)) == (1, 0, 2, 1)
    progress.set_epoch(7)
    for worker in range(5):
        progress.end(1, worker, 5)

    assert (progress.epoch, progress.begun, progress.workers) == (7, 7, 0)


# ---- failures and threads


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_file_is_named(folders: dict[str, Path], tmp_path: Path, workers: int) -> None:
    """What a decoding thread raises reaches the consumer, through a worker too."""
    folder = Path(shutil.copytree(folders["parquet"], tmp_path / "out"))
    path = folder / "data/train/00001-of-00003.parquet"
    content = bytearray(path.read_bytes())
    content[1000 : len(content) // 2] = bytes(len(content) // 2 - 1000)
    path.write_bytes(content)

    with pytest.raises((SourceError, RuntimeError), match=r"00001-of-00003\.parquet.*cannot be read"):
        list(loader(PatchStream(folder, batch_size=24), workers))
    assert not decoders()


def test_what_threads_raise_is_raised(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is; the other threads end."""

    def scatter(*args: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(feeder_module, "scatter", scatter)

    with pytest.raises(MemoryError, match="no room"):
        list(PatchStream(folders["parquet"], batch_size=24, threads=3))
    assert not decoders()


def test_leaving_early_ends_the_threads(folders: dict[str, Path]) -> None:
    stream = PatchStream(folders["parquet"], batch_size=8, window=1, threads=3)
    batches = iter(stream)
    next(batches)
    assert decoders() or feeder_module.MORE_ROWS >= NUM_ROWS

    for _ in stream:  # another pass beside it
        break
    del batches

    assert not decoders()


def test_exit_with_a_stream_half_read(folders: dict[str, Path]) -> None:
    """A program that ends in the middle of an epoch ends."""
    code = f"""
from so2sat_hf.load import feeder
feeder.MORE_ROWS = 4
from so2sat_hf.load.stream import PatchStream
batches = iter(PatchStream({str(folders["parquet"])!r}, batch_size=4, window=1, threads=3))
next(batches)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_stream_can_be_pickled_while_it_is_read(folders: dict[str, Path]) -> None:
    stream = PatchStream(folders["parquet"], batch_size=24, columns=["id"])
    batches = iter(stream)
    first = next(batches)

    copy = pickle.loads(pickle.dumps(stream))

    assert list(first["id"]) == ids(copy)[0]


def test_impossible_arguments_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for wrong, message in [
        ({"split": "training"}, "no split 'training'"),
        ({"form": "jax"}, "'jax'"),
        ({"rank": 2, "world_size": 2}, "rank: 2; expected 0 to 1"),
        ({"tail": "cut"}, "'cut'"),
        ({"batch_size": 0}, "batch_size"),
        ({"columns": ["pixels"]}, "pixels"),
        ({"bands": ["B01"]}, "B01"),
    ]:
        with pytest.raises(So2SatError, match=message):
            PatchStream(folders["parquet"], **wrong)
    with pytest.raises(FolderError, match="manifest"):
        PatchStream(tmp_path)
