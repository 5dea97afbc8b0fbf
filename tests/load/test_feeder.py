"""The feeder: order, memory, and no deadlock."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from so2sat_hf.load import feeder as feeder_module
from so2sat_hf.load.feeder import Feeder
from so2sat_hf.load.order import Topology, layout
from so2sat_hf.load.selection import Wanted

ROWS = Wanted(("row",), {})


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("so2sat-decode")]


def numbered(groups: list[int]) -> Any:
    """Read rows that hold their number in the split, up to five at a time."""
    starts = np.concatenate([[0], np.cumsum(groups)])

    def read(job: Any) -> Iterator[tuple[int, pa.RecordBatch]]:
        for first in range(0, groups[job.group], 5):
            stop = min(first + 5, groups[job.group])
            rows = starts[job.group] + np.arange(first, stop)
            yield first, pa.record_batch({"row": pa.array(rows)})

    return read


@settings(max_examples=60, phases=[Phase.explicit, Phase.generate])  # a deadlock takes 10 s each time
@given(
    groups=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    batch_size=st.integers(1, 60),
    window=st.integers(1, 4),
    threads=st.integers(1, 5),
    more=st.integers(0, 9),
    skip=st.integers(0, 40),
)
def test_the_feeder_keeps_the_order_within_its_room(
    groups: list[int], batch_size: int, window: int, threads: int, more: int, skip: int
) -> None:
    """With any room beside the window: no row is late, none waits for another one forever."""
    plan = layout(groups, Topology(batch_size, window=window), seed=0, epoch=0)
    expected = plan.given(0, 0)[skip:]
    came: list[np.ndarray] = []
    resident, most = [0, 0], 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(feeder_module, "MORE_ROWS", more)
        real = feeder_module.scatter

        def scatter(*args: Any) -> None:
            resident[0] += len(args[1])
            real(*args)

        patched.setattr(feeder_module, "scatter", scatter)
        feeder = Feeder(
            plan.jobs(0, 0, skip=skip),
            numbered(groups),
            ROWS,
            {"row": np.dtype("i8")},
            batch_size=batch_size,
            threads=threads,
        )

        def consume() -> None:
            nonlocal most
            for batch in feeder:
                came.append(batch["row"])
                most = max(most, resident[0] - resident[1])
                resident[1] += len(batch["row"])

        consumer = threading.Thread(target=consume, daemon=True)
        consumer.start()
        consumer.join(10)

    assert not consumer.is_alive()
    assert np.concatenate([expected[:0], *came]).tolist() == expected.tolist()
    # Counted when a batch is at hand, its own rows may have been replaced already.
    assert most <= window * max(groups) + more + 2 * batch_size
    assert feeder.most_rows <= window * max(groups) + more + batch_size


def test_a_slow_consumer_holds_the_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """They decode as far as there is room, and no further."""
    monkeypatch.setattr(feeder_module, "MORE_ROWS", 10)
    groups = [20] * 30
    plan = layout(groups, Topology(10, window=2), seed=0, epoch=0)
    options = {"batch_size": 10, "threads": 3}
    feeder = Feeder(plan.jobs(0, 0), numbered(groups), ROWS, {"row": np.dtype("i8")}, **options)
    placed = []
    real = feeder_module.scatter
    monkeypatch.setattr(feeder_module, "scatter", lambda *args: (placed.append(len(args[1])), real(*args)))
    batches = iter(feeder)

    next(batches)
    for thread in decoders():
        thread.join(0.2)

    assert sum(placed) <= 2 * 20 + 10 + 10 + 10
    assert len(decoders()) == 3
    assert sum(len(batch["row"]) for batch in batches) == 590
