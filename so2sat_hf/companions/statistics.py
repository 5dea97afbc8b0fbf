"""Statistics of every split of every version, in one pass over the patches.

Each cell is measured once, in parts on all cores; the splits of all versions are joined from cells.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from so2sat_hf import facts
from so2sat_hf.companions.sketch import BIN_ERROR, DIGITAL_NUMBER, FLOAT32, Histogram, Moments, Tally
from so2sat_hf.companions.summary import SplitName, SplitStatistics, Statistics, summarize
from so2sat_hf.convert.cells import Cell, splits_of
from so2sat_hf.convert.executor import run
from so2sat_hf.convert.patches import Source
from so2sat_hf.errors import So2SatError, SourceError

TASK_ROWS = 4096
"""Patches measured by one worker at a time. Fixed, so that the last bits do not depend on the cores."""

BLOCK_ROWS = 256
"""Patches in memory at a time: 19 MB."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A part of a cell to measure. Picklable."""

    source: Source
    split: str
    rows: range
    sensors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """What was found in some patches of a cell."""

    moments: Mapping[str, Moments]
    """Sensor -> moments of its columns, by class."""

    histograms: Mapping[str, Histogram]
    """Band -> histogram."""

    rounded: frozenset[str]
    """Sensors whose values are not the published ones but the nearest that could be stored."""


def measure(
    source: Source,
    wanted: Sequence[str] = (),
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Statistics:
    """Measure every band of every split in the stored unit, and intensities of Sentinel-1 in dB too.

    The result does not depend on the number of processes, to the last bit.

    Args:
        source: published files or a built folder; its columns decide which sensors are measured.
        wanted: splits as :func:`choose` takes them; default: those of every version.
        jobs: processes at work, this one among them; default: one per core.
        executor: see :func:`so2sat_hf.convert.build.build`.
        progress: called with the patches of each part that was measured.

    Raises:
        So2SatError: an unknown split, or a source without pixels.
        SourceError: values that no published file has.
    """
    chosen = choose(source, wanted)
    sensors = tuple(sensor for sensor in facts.SENSORS if sensor in source.columns)
    if not sensors:
        raise So2SatError(
            "pixels",
            found=f"the source has only {', '.join(source.columns)}",
            expected="sen1 or sen2",
            remedy="measure the folder that it was built from",
        )
    tasks = _tasks(source, chosen, sensors)
    nothing = _part({sensor: Tally(sensor) for sensor in sensors}, set())
    moments: dict[tuple[Cell, int], Mapping[str, Moments]] = {}
    histograms = {cell: nothing.histograms for cells in chosen.values() for cell in cells}
    rounded: set[str] = set()
    for key, part in run(_measure, tasks, jobs=jobs, executor=executor):
        moments[key] = part.moments
        histograms[key[0]] = _joined([part.histograms], histograms[key[0]])
        rounded |= part.rounded
        if progress:
            progress(len(tasks[key].rows))
    splits: dict[tuple[Cell, ...], SplitStatistics] = {}
    for cells in set(chosen.values()):  # several versions may have the same split
        ordered = (moments[key] for cell in cells for key in tasks if key[0] == cell)
        counts = (histograms[cell] for cell in cells)
        splits[cells] = summarize(
            cells, _joined(ordered, nothing.moments), _joined(counts, nothing.histograms)
        )
    return Statistics(
        source.layout,
        sum(source.cells.values()),
        {name: BIN_ERROR if name == "sen1" or name in rounded else 0.0 for name in sensors},
        {name: splits[cells] for name, cells in chosen.items()},
    )


def choose(source: Source, wanted: Sequence[str] = ()) -> dict[SplitName, tuple[Cell, ...]]:
    """Return config and split -> cells.

    Args:
        source: decides which versions there are.
        wanted: configs (``random``), splits of the config that the source is stored in (``train``), or both
            (``random/train``); none for everything.

    Raises:
        So2SatError: there is no such split.
    """
    configs = splits_of(source.cells, source.layout)
    known = {(config, split): cells for config, splits in configs.items() for split, cells in splits.items()}
    chosen = set() if wanted else set(known)
    for text in wanted:
        matching = {name for name in known if text in ("/".join(name), name[0])}
        matching |= {(source.layout, text)} & known.keys()
        if not matching:
            names = ", ".join("/".join(name) for name in known)
            raise So2SatError(f"split {text!r}", found="unknown", expected=f"a config or one of {names}")
        chosen |= matching
    return {name: cells for name, cells in known.items() if name in chosen}


def _tasks(
    source: Source, chosen: Mapping[SplitName, tuple[Cell, ...]], sensors: tuple[str, ...]
) -> dict[tuple[Cell, int], _Task]:
    """(cell, first row) -> task, in stored order."""
    wanted = {cell for cells in chosen.values() for cell in cells}
    tasks, offsets = {}, dict.fromkeys(source.num_rows, 0)
    for cell, count in source.cells.items():
        first, stop = offsets[cell.split], offsets[cell.split] + count
        offsets[cell.split] = stop
        if cell in wanted:
            for start in range(first, stop, TASK_ROWS):
                rows = range(start, min(start + TASK_ROWS, stop))
                tasks[cell, start] = _Task(source, cell.split, rows, sensors)
    return tasks


def _measure(task: _Task) -> _Part:
    """Measure a part of a cell."""
    tallies = {sensor: Tally(sensor) for sensor in task.sensors}
    rounded: set[str] = set()
    for block in task.source.blocks(
        task.split, task.rows, columns=("label", *task.sensors), size=BLOCK_ROWS, reuse=True
    ):
        rounded |= block.rounding.keys() & tallies.keys()
        for sensor, tally in tallies.items():
            pixels = np.asarray(block.sen1 if sensor == "sen1" else block.sen2)
            ruler = DIGITAL_NUMBER if sensor == "sen2" and sensor not in rounded else FLOAT32
            try:
                tally.add(pixels, block.label, ruler)
            except ValueError as error:
                raise SourceError(
                    f"{sensor} of {block.ids[0]} to {block.ids[-1]}",
                    found=str(error),
                    expected="finite numbers" + (" from 0 to 6.5535" if sensor == "sen2" else ""),
                    remedy="`so2sat verify` tells which files were changed or damaged",
                ) from error
    return _part(tallies, rounded)


def _part(tallies: Mapping[str, Tally], rounded: set[str]) -> _Part:
    return _Part(
        {sensor: tally.moments for sensor, tally in tallies.items()},
        {band: found for tally in tallies.values() for band, found in tally.histograms().items()},
        frozenset(rounded),
    )


def _joined(parts: Iterable[Mapping[str, Any]], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add up parts name by name, in the order given."""
    for part in parts:
        whole = {name: found + part[name] for name, found in whole.items()}
    return whole
