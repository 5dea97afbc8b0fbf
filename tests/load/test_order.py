"""The order of an epoch: every patch once, equally many batches for all, and the same again after a stop."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2sat_hf.errors import So2SatError
from so2sat_hf.load.order import Layout, Stage, Topology, layout, permutation

group_sizes = st.lists(st.integers(1, 40), min_size=1, max_size=12)
tails = st.sampled_from(["pad", "drop"])
topologies = st.builds(
    Topology,
    batch_size=st.integers(1, 50),
    world_size=st.integers(1, 5),
    workers=st.integers(1, 6),
    window=st.integers(1, 5),
    shuffle=st.booleans(),
    tail=tails,
)
seeds = st.integers(0, 2**32)


def batches_of_rank(plan: Layout, rank: int, *, after: int = 0) -> list[list[int]]:
    """What a DataLoader gives that asks its workers in turn, and begins with the first one, as torch does."""
    deal = plan.topology
    queues = []
    for number in range(deal.workers):
        worker = (number + after) % deal.workers
        skip = len(range(worker, after, deal.workers)) * deal.batch_size
        starts = np.concatenate([[0], np.cumsum(plan.groups)])
        jobs = plan.jobs(rank, worker, skip=skip)
        rows = np.full(sum(len(job.rows) for job in jobs), -1)
        for job in jobs:
            rows[job.positions] = starts[job.group] + job.rows
        queues.append([rows[i : i + deal.batch_size].tolist() for i in range(0, len(rows), deal.batch_size)])
    batches = []
    while any(queues):
        batches += [queue.pop(0) for queue in queues if queue]
    return batches


def everything(plan: Layout, *, after: int = 0) -> list[int]:
    """All rows that come on all ranks."""
    ranks = range(plan.topology.world_size)
    return [row for rank in ranks for batch in batches_of_rank(plan, rank, after=after) for row in batch]


@given(groups=group_sizes, topology=topologies, seed=seeds, epoch=st.integers(0, 5))
def test_every_patch_comes_once(groups: Sequence[int], topology: Topology, seed: int, epoch: int) -> None:
    """Padding repeats fewer rows than there are ranks; dropping leaves out less than a batch for each."""
    plan = layout(groups, topology, seed=seed, epoch=epoch)
    num_rows, count = sum(groups), Counter(everything(plan))

    if topology.tail == "pad":
        assert set(count) == set(range(num_rows))
        assert count.total() == -(-num_rows // topology.world_size) * topology.world_size
    else:
        assert set(count) <= set(range(num_rows))
        assert max(count.values(), default=1) == 1
        assert num_rows - count.total() < topology.world_size * (topology.batch_size + 1)
    if topology.world_size == 1 and topology.tail == "pad":
        assert count.total() == num_rows


@given(groups=group_sizes, topology=topologies, seed=seeds)
def test_ranks_have_equally_many_batches(groups: Sequence[int], topology: Topology, seed: int) -> None:
    """Each as long as on the other ranks; all full but the last; as many as are announced."""
    plan = layout(groups, topology, seed=seed, epoch=0)

    lengths = [[len(b) for b in batches_of_rank(plan, rank)] for rank in range(topology.world_size)]

    assert all(other == lengths[0] for other in lengths)
    assert len(lengths[0]) == plan.batches() == topology.batches_of_rank(sum(groups))
    assert set(lengths[0][:-1]) <= {topology.batch_size}
    assert topology.tail == "pad" or set(lengths[0]) <= {topology.batch_size}


@given(groups=group_sizes, topology=topologies, seed=seeds, data=st.data())
def test_a_resumed_epoch_equals_the_uninterrupted_one(
    groups: Sequence[int], topology: Topology, seed: int, data: st.DataObject
) -> None:
    """On every rank, stopped after any batch, although torch begins again with its first worker."""
    plan = layout(groups, topology, seed=seed, epoch=1)
    taken = data.draw(st.integers(0, plan.batches()))

    for rank in range(topology.world_size):
        assert batches_of_rank(plan, rank, after=taken) == batches_of_rank(plan, rank)[taken:]


@given(
    groups=group_sizes, topologies=st.lists(topologies, min_size=2, max_size=4), seed=seeds, data=st.data()
)
def test_the_rest_comes_once_with_other_topologies(
    groups: Sequence[int], topologies: list[Topology], seed: int, data: st.DataObject
) -> None:
    """Also resumed again and again; nothing that was taken comes again."""
    seen: set[int] = set()
    stages: list[Stage] = []
    for topology in topologies[:-1]:
        plan = layout(groups, topology, seed=seed, epoch=2, before=stages)
        stages.append(Stage(topology, data.draw(st.integers(0, plan.batches()))))
        ranks = range(topology.world_size)
        part = [b for r in ranks for b in batches_of_rank(plan, r)[: stages[-1].taken]]
        rows = {row for batch in part for row in batch}
        assert not rows & seen
        seen |= rows

    last = layout(groups, topologies[-1], seed=seed, epoch=2, before=stages)
    rest = Counter(everything(last))

    left = set(range(sum(groups))) - seen
    assert set(rest) <= left
    if topologies[-1].tail == "pad":
        assert set(rest) == left
        assert rest.total() == -(-len(left) // topologies[-1].world_size) * topologies[-1].world_size
    else:
        assert max(rest.values(), default=1) == 1
        assert len(left) - rest.total() < topologies[-1].world_size * (topologies[-1].batch_size + 1)


@given(groups=group_sizes, topology=topologies, seed=seeds, data=st.data())
def test_only_the_rows_asked_for_come(
    groups: Sequence[int], topology: Topology, seed: int, data: st.DataObject
) -> None:
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, sum(groups) - 1)))), np.int64)

    plan = layout(groups, topology, seed=seed, epoch=0, rows=rows)

    came = everything(plan)
    assert set(came) <= set(rows.tolist())
    assert topology.tail == "drop" or set(came) == set(rows.tolist())


@given(groups=group_sizes, topology=topologies, seed=seeds)
def test_two_runs_are_equal(groups: Sequence[int], topology: Topology, seed: int) -> None:
    runs = [layout(groups, topology, seed=seed, epoch=3) for _ in range(2)]

    assert batches_of_rank(runs[0], 0) == batches_of_rank(runs[1], 0)


def test_epochs_seeds_and_stages_differ() -> None:
    """Each of them changes the order, of row groups and of the rows inside a window."""
    groups, topology = (50,) * 20, Topology(batch_size=1000)
    stage = Stage(topology, 0)
    plans = [
        layout(groups, topology, seed=0, epoch=0),
        layout(groups, topology, seed=0, epoch=1),
        layout(groups, topology, seed=1, epoch=0),
        layout(groups, topology, seed=0, epoch=0, before=[stage]),
    ]

    assert len({tuple(everything(plan)) for plan in plans}) == 4
    assert len({tuple(plan.in_order().tolist()) for plan in plans}) == 4
    inside = {tuple(job.positions.tolist()) for job in plans[0].jobs(0, 0) if job.window == 0}
    assert not inside & {tuple(job.positions.tolist()) for job in plans[1].jobs(0, 0) if job.window == 0}


def test_stored_order_without_shuffling() -> None:
    plan = layout((7, 9, 4), Topology(batch_size=6, shuffle=False), seed=0, epoch=4)

    assert everything(plan) == list(range(20))


@given(groups=group_sizes, topology=topologies, seed=seeds)
def test_a_worker_holds_one_window(groups: Sequence[int], topology: Topology, seed: int) -> None:
    """Rows of a window come together, and are no more than so many of the largest row groups have."""
    plan = layout(groups, topology, seed=seed, epoch=0)
    jobs = plan.jobs(0, 0)

    assert [job.window for job in jobs] == sorted(job.window for job in jobs)
    ranges = []
    for window in sorted({job.window for job in jobs}):
        positions = np.concatenate([job.positions for job in jobs if job.window == window])
        assert len(positions) <= topology.window * max(groups)
        assert np.array_equal(np.sort(positions), np.arange(positions.min(), positions.max() + 1))
        ranges.append((positions.min(), positions.max()))
    assert all(a[1] + 1 == b[0] for a, b in pairwise(ranges))
    assert all((np.diff(job.rows) > 0).all() for job in jobs)


def test_a_window_mixes_its_row_groups() -> None:
    """A batch of a window of four row groups has patches of all four; with one, of one."""
    groups = (1024,) * 12
    for window, expected in ((1, 1), (4, 4), (12, 12)):
        plan = layout(groups, Topology(batch_size=256, window=window), seed=0, epoch=0)
        (first, *_) = batches_of_rank(plan, 0)
        assert len({row // 1024 for row in first}) == expected


def test_few_rows_of_each_row_group_fill_a_window() -> None:
    """A table of ids takes a row here and there: a window is counted in rows then."""
    plan = layout(
        (1000,) * 50, Topology(batch_size=10, window=1), seed=0, epoch=0, rows=np.arange(0, 50_000, 50)
    )

    assert {job.window for job in plan.jobs(0, 0)} == {0}


@settings(max_examples=20)
@given(count=st.integers(0, 300), key=st.lists(st.integers(0, 2**40), min_size=1, max_size=6))
def test_permutations(count: int, key: list[int]) -> None:
    assert sorted(permutation(count, key).tolist()) == list(range(count))


def test_permutations_stay_what_they_are() -> None:
    """A checkpoint of today can be resumed with tomorrow's numpy."""
    assert permutation(8, (0, 1)).tolist() == [7, 4, 5, 1, 6, 2, 0, 3]


@given(topology=topologies, taken=st.integers(0, 9))
def test_stages_survive_their_plain_form(topology: Topology, taken: int) -> None:
    stage = Stage(topology, taken)

    assert Stage.from_dict({**stage.to_dict(), "digest": "x"}) == stage


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"world_size": 0}, {"window": -1}, {"tail": "cut"}])
def test_impossible_topologies_are_refused(wrong: dict[str, object]) -> None:
    (name,) = wrong

    with pytest.raises(So2SatError, match=name):
        Topology(**{"batch_size": 8, **wrong})
