"""Source -> built folder: plan, run the plan on an executor, resume, write the manifest.

The plan is made first and decides everything; shards are then independent of each other, so any
``concurrent.futures.Executor`` runs them and the bytes do not depend on how many workers it has.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from so2sat_hf import __version__
from so2sat_hf.convert import moments, readme
from so2sat_hf.convert.blueprint import Blueprint, CompanionPlan, Planner
from so2sat_hf.convert.built import BuiltSource
from so2sat_hf.convert.encode import DataEncoder
from so2sat_hf.convert.executor import Crew, num_cores, run, started
from so2sat_hf.convert.manifest import FORMAT_VERSION, MANIFEST, README, STATISTICS, Manifest
from so2sat_hf.convert.membership import Membership, cells_of
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import Rows, Source
from so2sat_hf.convert.plan import plan_shards
from so2sat_hf.convert.records import Companion, CompanionFile, FileRecord, ShardRecord, SplitRecord
from so2sat_hf.convert.shard import STATISTICS_SPLIT, FileTask, Receipt, write_file
from so2sat_hf.convert.space import check_space
from so2sat_hf.convert.table import schema
from so2sat_hf.convert.workspace import Workspace, locked
from so2sat_hf.errors import FolderError, SourceError

LIBRARIES = ("datasets", "h5py", "numpy", "pyarrow", "pyproj")
"""Libraries whose version may change a byte of the output."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What comes on top of the patches of a source."""

    membership: Membership | None = None
    """Which splits of version 3 each patch belongs to."""

    companions: tuple[Planner, ...] = ()
    """Plan the configs beside the data."""

    pictures: Mapping[str, Callable[[Source], bytes | None]] = field(default_factory=dict)
    """Path -> draws it from the patches that were built; None where there is nothing to draw."""

    page: Callable[[Manifest, Mapping[str, str]], str] = readme.page
    """Writes what follows the YAML in the README, from the manifest and its texts (path -> content)."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did."""

    manifest: Manifest
    """What the folder holds now."""

    written: int
    """Files written by this run."""

    reused: int
    """Files that an earlier run had finished."""


def build(
    source: Source,
    out: Path,
    options: BuildOptions | None = None,
    *,
    extras: Extras | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BuildReport:
    """Convert a source into a folder that ``load_dataset`` opens.

    Killed at any moment, the same call continues; the result is byte-identical, however it was reached.

    Args:
        source: where patches come from.
        out: the folder; new, empty, or built before.
        options: what to make.
        extras: what comes on top.
        jobs: processes at work, this one among them; default: one per core.
        executor: runs the tasks instead of processes of our own, e.g. Dask's
            ``Client.get_executor(pure=False)``; its workers must see the same files.
        progress: called with (rows done, rows in all) after each file; companions have rows of their own.

    Raises:
        SourceError: the source holds what it must not.
        LossyError: a value cannot be stored exactly.
        FolderError: the folder cannot be used or written.
    """
    options, extras, out = options or BuildOptions(), extras or Extras(), out.resolve()
    _check_source(source, out)
    blueprint = draw(source, options, extras.membership)
    plan = _plan(blueprint, options)
    workspace = Workspace(out, plan)
    blueprint = _with_copies(blueprint, workspace)
    with locked(out):
        workspace.prepare()
        with _crew(blueprint, workspace, jobs, executor) as crew:
            beside = [drawn for planner in extras.companions if (drawn := planner(blueprint))]
            tasks = _tasks(blueprint, beside, workspace.stage)
            done = workspace.receipts({key: task.path for key, task in tasks.items()})
            reused = len(done)
            missing = {key: task for key, task in tasks.items() if key not in done}
            check_space(blueprint, workspace, missing.values(), jobs or num_cores())
            _report(progress, tasks, done)
            for key, receipt in run(write_file, missing, jobs=jobs, executor=executor, crew=crew):
                done[key] = receipt
                _report(progress, tasks, done)
        _check_unchanged(source, plan)
        manifest = _manifest(blueprint, beside, [done[key] for key in tasks])
        manifest, small = _small_files(manifest, [done[key] for key in tasks], workspace, extras)
        _clear_copies(blueprint)
        keys = {task.path: key for key, task in tasks.items()}
        if missing or not workspace.is_published(small, keys):
            workspace.publish(manifest, small, keys)
    return BuildReport(manifest, written=len(missing), reused=reused)


def _check_source(source: Source, out: Path) -> None:
    """Refuse a built folder that is damaged, or the output itself."""
    if isinstance(source, BuiltSource):
        if source.shelf.is_at(out):
            raise FolderError(
                out, found="source and output are the same folder", remedy="choose another output"
            )
        source.check_hashes()


def _with_copies(blueprint: Blueprint, workspace: Workspace) -> Blueprint:
    """Tell a source whose files are elsewhere where they may lie meanwhile."""
    if not isinstance(blueprint.source, BuiltSource):
        return blueprint
    shelf = blueprint.source.shelf.with_copies(workspace.copies)
    return replace(blueprint, source=replace(blueprint.source, shelf=shelf))


def _clear_copies(blueprint: Blueprint) -> None:
    if isinstance(blueprint.source, BuiltSource):
        blueprint.source.shelf.clear()


def draw(source: Source, options: BuildOptions, membership: Membership | None = None) -> Blueprint:
    """Decide which patches go into which data file.

    Raises:
        SourceError: the membership belongs to other files.
    """
    groups = cells_of(source, membership)
    return Blueprint(
        source=source,
        columns=options.columns_of(source),
        file_format=options.file_format,
        sen2_dtype=options.sen2_dtype,
        groups=groups,
        shards=plan_shards(
            {cell: len(rows) for cell, rows in groups.items()},
            file_format=options.file_format,
            rows_per_shard=options.rows_per_shard,
        ),
    )


def _crew(
    blueprint: Blueprint, workspace: Workspace, jobs: int | None, executor: Executor | None
) -> AbstractContextManager[Crew | None]:
    """Start processes of our own, if there is work: they get ready while this one imports datasets."""
    paths = {shard.path: shard.path for shard in blueprint.shards}
    num_missing = len(paths) - len(workspace.receipts(paths))
    jobs = min(jobs or num_cores(), num_missing)
    return started(jobs, write_file.__module__) if executor is None and jobs > 1 else nullcontext()


def _report(
    progress: Callable[[int, int], None] | None, tasks: Mapping[str, FileTask], done: Iterable[str]
) -> None:
    if progress:
        progress(sum(tasks[key].num_rows for key in done), sum(task.num_rows for task in tasks.values()))


def _plan(blueprint: Blueprint, options: BuildOptions) -> dict[str, object]:
    """Everything that decides the bytes of the data files."""
    source = blueprint.source
    return {
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "options": {**asdict(options), "columns": blueprint.columns},
        "allow_rounding": bool(getattr(source, "allow_rounding", False)),
        "layout": source.layout,
        "sources": source.fingerprint(),
        "shards": [shard.path for shard in blueprint.shards],
        "cells": {cell.key: _digest(rows) for cell, rows in blueprint.groups.items()},
    }


def _digest(rows: Rows) -> str:
    return hashlib.sha256(np.asarray(rows, np.int64).tobytes()).hexdigest()[:16]


def _tasks(blueprint: Blueprint, beside: Sequence[CompanionPlan], stage: Path) -> dict[str, FileTask]:
    """Key of the receipt -> task: the data files, then those of the companions."""
    arrow_schema = schema(blueprint.columns, sen2_dtype=blueprint.sen2_dtype).serialize().to_pybytes()
    tasks = {}
    for shard in blueprint.shards:
        parts = (blueprint.rows_of(shard),)
        measured = shard.split == STATISTICS_SPLIT
        encoder = DataEncoder(arrow_schema)
        tasks[shard.path] = FileTask(
            shard.path, shard.split, parts, blueprint.source, encoder, stage, shard.path, measured=measured
        )
    for plan in beside:
        for file in plan.files:
            patches = [_digest(rows) for rows in file.parts]
            wanted = json.dumps([file.path, patches, plan.features, plan.arguments], sort_keys=True)
            key = f"{file.path}-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
            tasks[key] = FileTask(
                file.path, file.split, file.parts, blueprint.source, file.encoder, stage, key
            )
    return tasks


def _check_unchanged(source: Source, plan: Mapping[str, object]) -> None:
    """Refuse to publish what was read from files that are others by now."""
    if source.fingerprint() != plan["sources"]:
        raise SourceError(
            "source",
            found="files that were changed or replaced while they were read",
            expected="files that stay as they are",
            remedy="run the same command again",
        )


def _manifest(blueprint: Blueprint, beside: Sequence[CompanionPlan], receipts: Sequence[Receipt]) -> Manifest:
    """Return the manifest of the files with rows."""
    by_path = {receipt.path: receipt for receipt in receipts}
    data = {shard: by_path[shard.path] for shard in blueprint.shards}
    cells = {}
    for cell in blueprint.groups:
        parts = [receipt for shard, receipt in data.items() if shard.cell == cell]
        cells[cell.key] = SplitRecord(
            rows=sum(part.rows for part in parts),
            memory=sum(part.memory for part in parts),
            class_counts=tuple(map(sum, zip(*(part.class_counts for part in parts), strict=True))),
        )
    rounding: dict[str, float] = {}
    for receipt in data.values():
        for column, error in receipt.rounding.items():
            rounding[column] = max(error, rounding.get(column, 0.0))
    return Manifest(
        format_version=FORMAT_VERSION,
        package_version=__version__,
        file_format=blueprint.file_format,
        columns=blueprint.columns,
        sen2_dtype=blueprint.sen2_dtype,
        geolocation=blueprint.source.geo_generation if "city" in blueprint.columns else None,
        rounding=rounding,
        sources=blueprint.source.records(),
        layout=blueprint.layout,
        cells=cells,
        shards=tuple(ShardRecord(r.path, s.cell.key, r.rows, r.bytes, r.sha256) for s, r in data.items()),
        companions=tuple(_companion(plan, by_path) for plan in beside),
    )


def _small_files(
    manifest: Manifest, receipts: Sequence[Receipt], workspace: Workspace, extras: Extras
) -> tuple[Manifest, dict[str, bytes]]:
    """Return the whole manifest, and path -> content of all that no task wrote, in the order to write it."""
    built = BuiltSource(workspace.shelf, manifest)
    small = {path: data for path, draw in extras.pictures.items() if (data := draw(built))}
    texts = _statistics(receipts[: len(manifest.shards)])
    small |= {name: text.encode() for name, text in texts.items()}
    files = (FileRecord(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in small.items())
    manifest = replace(manifest, files=tuple(files))
    page = readme.render(manifest, extras.page, texts)
    return manifest, small | {MANIFEST: manifest.to_json().encode(), README: page.encode()}


def _companion(plan: CompanionPlan, by_path: Mapping[str, Receipt]) -> Companion:
    receipts = [by_path[file.path] for file in plan.files]
    files = (CompanionFile(r.path, r.split, r.rows, r.bytes, r.memory, r.sha256) for r in receipts)
    return Companion(plan.name, plan.features, tuple(files))


def _statistics(receipts: Sequence[Receipt]) -> dict[str, str]:
    """Return ``statistics.json`` of the training rows, where there are any with pixels."""
    training = [receipt for receipt in receipts if receipt.split == STATISTICS_SPLIT]
    merged = moments.merge(receipt.moments for receipt in training)
    if not merged:
        return {}
    rows = sum(receipt.rows for receipt in training)
    statistics: dict[str, Any] = moments.as_statistics(merged, split=STATISTICS_SPLIT, num_rows=rows)
    return {STATISTICS: json.dumps(statistics, indent=1) + "\n"}
