"""PatchStream in a DataLoader: any number of workers, going on where it was left."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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

from so2sat_hf.errors import So2SatError
from so2sat_hf.load import feeder as feeder_module
from so2sat_hf.load.stream import PatchStream

__all__ = ["folders", "published", "small_parts"]  # fixtures

pytestmark = WORKERS


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
