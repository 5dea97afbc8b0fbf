"""PatchStream over real files: the published values, any number of workers, going on where it was left."""

import json
import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from so2sat_hf import facts
from so2sat_hf.convert import shard as shard_module
from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import GEO_COLUMNS, row_id
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import FolderError, So2SatError, SourceError
from so2sat_hf.load import feeder as feeder_module
from so2sat_hf.load import groups as groups_module
from so2sat_hf.load.progress import Progress
from so2sat_hf.load.stream import PatchStream

NUM_ROWS, GROUP_ROWS = 260, 16
OPTIONS = {
    "parquet": BuildOptions(rows_per_shard=100),
    "arrow": BuildOptions(file_format="arrow", rows_per_shard=100),
    "uint16": BuildOptions(file_format="arrow", sen2_dtype="uint16", rows_per_shard=100),
}
EVERY_ID = {row_id("training", row) for row in range(NUM_ROWS)}

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def folders(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind -> a built folder; train is three files of up to six row groups of 16 rows."""
    parent = tmp_path_factory.mktemp("stream")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shard_module, "ROW_GROUP_ROWS", GROUP_ROWS)
        for kind, options in OPTIONS.items():
            build(source, parent / kind, options, jobs=1)
    return {kind: parent / kind for kind in OPTIONS}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of several parts, the last one short."""
    monkeypatch.setattr(groups_module, "PART_ROWS", 5)


@pytest.fixture(scope="module")
def published(source: RawSource, raw: Path) -> dict[str, Any]:
    """Column -> values of every patch of train, straight from the HDF5 file; geolocation as it is derived."""
    with h5py.File(raw / "training.h5") as file:
        columns = {name: file[name][:].transpose(0, 3, 1, 2).astype("f4") for name in ("sen1", "sen2")}
        columns["label"] = file["label"][:].argmax(1)
    (block,) = source.blocks("train", range(NUM_ROWS), columns=("id", "label", *GEO_COLUMNS), size=1000)
    return {"id": block.ids, **columns, **{name: getattr(block.geo, name) for name in GEO_COLUMNS}}


def same(batch: dict[str, Any], published: dict[str, Any]) -> bool:
    """Whether every value of a batch is the published one."""
    rows = [int(text.rpartition("/")[2]) for text in batch["id"]]
    return all(np.array_equal(values, np.asarray(published[name])[rows]) for name, values in batch.items())


def ids(batches: Any) -> list[list[str]]:
    return [list(batch["id"]) for batch in batches]


def flat(batches: Any) -> list[str]:
    return [text for batch in ids(batches) for text in batch]


def loader(stream: PatchStream, workers: int, **options: Any) -> DataLoader:
    return DataLoader(stream, batch_size=None, num_workers=workers, **options)


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


# ---- DataLoader


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_workers_give_every_patch_once(
    folders: dict[str, Path], published: dict[str, Any], kind: str, workers: int
) -> None:
    """As many batches as without workers, full but the last; also with more workers than the three files."""
    stream = PatchStream(folders[kind], batch_size=24)

    epochs = [list(loader(stream, workers)) for _ in range(2)]

    for batches in epochs:
        assert [len(batch["id"]) for batch in batches] == [24] * 10 + [20]
        assert Counter(flat(batches)) == Counter(EVERY_ID)
        assert all(same(batch, published) for batch in batches)
    assert ids(epochs[0]) != ids(epochs[1])
    assert stream.epoch == 2
    if workers < 2:
        assert ids(epochs[0]) == ids(PatchStream(folders[kind], batch_size=24))


def test_more_workers_than_batches(folders: dict[str, Path]) -> None:
    stream = PatchStream(folders["parquet"], batch_size=200, columns=["id"])

    assert [len(batch) for batch in ids(loader(stream, 5))] == [200, 60]


def test_spawned_workers(folders: dict[str, Path], published: dict[str, Any]) -> None:
    """The stream is pickled for them; what they say of epochs reaches this process."""
    stream = PatchStream(folders["parquet"], batch_size=60, form="torch")

    batches = list(loader(stream, 1, multiprocessing_context="spawn"))

    assert Counter(flat(batches)) == Counter(EVERY_ID)
    assert all(same(batch, published) for batch in batches)
    assert stream.epoch == 1


def test_workers_that_stay_are_told_the_epoch(folders: dict[str, Path]) -> None:
    stream = PatchStream(folders["parquet"], batch_size=32, columns=["id"])
    staying = loader(stream, 2, persistent_workers=True)

    first, second = ids(staying), ids(staying)
    stream.set_epoch(0)
    again = ids(staying)
    stream.set_epoch(1)
    next(iter(staying))  # left early: the epoch is not over, and begins again

    assert first == again != second
    assert ids(staying) == second


@pytest.mark.parametrize("tail", ["pad", "drop"])
def test_ranks_share_an_epoch(folders: dict[str, Path], tail: str) -> None:
    """All with equally many batches, workers or not."""
    streams = [
        PatchStream(folders["arrow"], batch_size=20, rank=rank, world_size=3, tail=tail, columns=["id"])
        for rank in range(3)
    ]

    parts = [ids(loader(stream, 2)) for stream in streams]

    lengths = {"pad": [20, 20, 20, 20, 7], "drop": [20, 20, 20, 20]}[tail]
    assert [[len(batch) for batch in part] for part in parts] == [lengths] * 3
    assert [len(stream) for stream in streams] == [len(lengths)] * 3
    count = Counter(text for part in parts for batch in part for text in batch)
    assert count.keys() == EVERY_ID if tail == "pad" else count.keys() < EVERY_ID
    assert sum(count.values()) == 3 * sum(lengths)


KILLED = """
import os, signal, sys
from torch.utils.data import DataLoader
from so2sat_hf.load.stream import PatchStream
batches = iter(DataLoader(PatchStream(sys.argv[1], batch_size=4), batch_size=None, num_workers=2))
next(batches)
os.kill(batches._workers[1].pid, signal.SIGKILL)
print(len(list(batches)), "batches came")
"""


def test_a_worker_that_is_killed_is_an_error(folders: dict[str, Path]) -> None:
    """Not a hang, and not an epoch that ends early. In a process of its own: torch raises wherever it is."""
    args = [sys.executable, "-c", KILLED, str(folders["parquet"])]
    done = subprocess.run(args, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 1
    assert "batches came" not in done.stdout
    # torch tells of the signal, or of a batch that the worker can no longer hand over
    assert re.search(r"killed by signal|exited unexpectedly|reset by peer", done.stderr)


# ---- going on


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("taken", [0, 1, 4, 9, 11])
def test_a_resumed_stream_equals_the_uninterrupted_one(
    folders: dict[str, Path], workers: int, taken: int
) -> None:
    """In the middle of an epoch and of a window, and into the next epoch; through JSON."""
    whole, stopped, resumed = (PatchStream(folders["arrow"], batch_size=24, seed=seed) for seed in (5, 5, 0))
    expected = [batch for _ in range(2) for batch in loader(whole, workers)]

    batches = iter(loader(stopped, workers))
    for _ in range(taken):
        next(batches)
    state = json.loads(json.dumps(stopped.state_dict(taken if workers else None)))
    resumed.load_state_dict(state)
    rest = [batch for _ in range(2) for batch in loader(resumed, workers)]

    assert ids(rest) == ids(expected)[taken:] or taken == 11
    if taken == 11:  # the epoch was over: two more
        assert ids(rest)[:11] == ids(expected)[11:]
        assert (state["epoch"], state["taken"]) == (1, 0)
    assert np.array_equal(rest[0]["sen1"], expected[taken]["sen1"])


def test_what_was_taken_is_not_decoded_again(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = PatchStream(folders["parquet"], batch_size=64, window=1, columns=["id"])
    batches = iter(stream)
    next(batches), next(batches), next(batches)
    state = stream.state_dict()
    batches.close()
    placed = []
    real = feeder_module.scatter
    monkeypatch.setattr(feeder_module, "scatter", lambda *args: (placed.append(len(args[1])), real(*args)))

    resumed = PatchStream(folders["parquet"], batch_size=64, window=1, columns=["id"])
    resumed.load_state_dict(state)

    assert len(flat(resumed)) == sum(placed) == NUM_ROWS - 3 * 64


def test_the_rest_with_other_workers_and_ranks(folders: dict[str, Path]) -> None:
    """Two workers, then three ranks, then one process with other batches: every patch once in all."""
    first = PatchStream(folders["arrow"], batch_size=16, columns=["id"])
    begun = iter(loader(first, 2))
    seen = [text for _ in range(5) for text in next(begun)["id"]]
    state = first.state_dict(5)

    ranks = [
        PatchStream(folders["arrow"], batch_size=10, columns=["id"], rank=rank, world_size=3)
        for rank in range(3)
    ]
    for stream in ranks:
        stream.load_state_dict(state)
        batches = iter(stream)
        seen += [text for _ in range(2) for text in next(batches)["id"]]
        batches.close()
    states = [stream.state_dict() for stream in ranks]
    last = PatchStream(folders["arrow"], batch_size=33, columns=["id"], window=2)
    last.load_state_dict(states[0])
    seen += flat(last)

    assert states[0] == states[1] == states[2]
    assert Counter(seen) == Counter(EVERY_ID)
    assert last.epoch == 1
    assert Counter(flat(last)) == Counter(EVERY_ID)


def test_a_resumed_pass_ends_its_epoch(folders: dict[str, Path]) -> None:
    """Also where workers, each with a copy of the stream, have given the rest."""
    whole = PatchStream(folders["arrow"], batch_size=24, columns=["id"])
    epochs = [ids(loader(whole, 2)) for _ in range(3)]
    stream = PatchStream(folders["arrow"], batch_size=24, columns=["id"])
    next(iter(loader(stream, 2)))
    stream.load_state_dict(stream.state_dict(7))
    resumed = loader(stream, 2, persistent_workers=True)

    assert [ids(resumed), ids(resumed)] == [epochs[0][7:], epochs[1]]
    assert ids(loader(stream, 2)) == epochs[2]


def test_states_that_cannot_be_resumed_are_refused(folders: dict[str, Path]) -> None:
    stream = PatchStream(folders["arrow"], batch_size=24)
    state = stream.state_dict()

    with pytest.raises(So2SatError, match=rf"digest {stream.place.digest!r}; expected"):
        PatchStream(folders["parquet"]).load_state_dict(state)
    with pytest.raises(So2SatError, match="split 'train'; expected 'test'"):
        PatchStream(folders["arrow"], "test").load_state_dict(state)
    with pytest.raises(So2SatError, match="ids None; expected"):
        PatchStream(folders["arrow"], ids=["training/000001"]).load_state_dict(state)
    with pytest.raises(So2SatError, match="not understood"):
        stream.load_state_dict({name: value for name, value in state.items() if name != "window"})
    next(iter(loader(stream, 1)))
    with pytest.raises(So2SatError, match="taken="):
        stream.state_dict()


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
