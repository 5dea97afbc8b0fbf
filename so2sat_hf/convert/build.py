"""Source -> built folder: plan, run the plan on an executor, resume, write the manifest.

The plan is made first and decides everything; shards are then independent of each other, so any
``concurrent.futures.Executor`` runs them and the bytes do not depend on how many workers it has.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path

from so2sat_hf import __version__
from so2sat_hf.convert import moments, readme
from so2sat_hf.convert.built import BuiltSource
from so2sat_hf.convert.executor import run
from so2sat_hf.convert.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    README,
    STATISTICS,
    FileRecord,
    Manifest,
    ShardRecord,
    SplitRecord,
)
from so2sat_hf.convert.patches import COLUMNS, GEO_COLUMNS, Source
from so2sat_hf.convert.plan import SUFFIX, Shard, plan_shards
from so2sat_hf.convert.shard import STATISTICS_SPLIT, Receipt, ShardTask, write_shard
from so2sat_hf.convert.table import SEN2_DTYPES, schema
from so2sat_hf.convert.workspace import Workspace, locked
from so2sat_hf.errors import FolderError, So2SatError, SourceError

LIBRARIES = ("datasets", "h5py", "numpy", "pyarrow", "pyproj")
"""Libraries whose version may change a byte of the output."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a build makes of its source."""

    file_format: str = "parquet"
    """``parquet`` for the Hub, ``arrow`` for a training machine."""

    columns: tuple[str, ...] = ()
    """Columns to store; empty: all that the source has. ``id`` and ``label`` are always stored, and the
    columns of the geolocation only together."""

    sen2_dtype: str = "float32"
    """``float32`` (reflectance), or ``uint16`` (digital numbers; Arrow only)."""

    rows_per_shard: int | None = None
    """At most so many rows in a file; default: the counts of the published dataset."""

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("--format", self.file_format, tuple(SUFFIX)),
            ("--sen2-dtype", self.sen2_dtype, SEN2_DTYPES),
        ):
            if value not in allowed:
                raise So2SatError(name, found=repr(value), expected=" or ".join(allowed))
        if self.sen2_dtype == "uint16" and self.file_format != "arrow":
            raise So2SatError(
                "--sen2-dtype",
                found="uint16 with --format parquet",
                expected="float32: the formats of datasets would hand out int64 digital numbers",
                remedy="use --format arrow, or leave --sen2-dtype out",
            )
        if self.rows_per_shard is not None and self.rows_per_shard < 1:
            raise So2SatError("--rows-per-shard", found=str(self.rows_per_shard), expected="at least 1")

    def columns_of(self, source: Source) -> tuple[str, ...]:
        """Return the columns that a build of this source stores.

        Raises:
            So2SatError: a column that does not exist, or that the source does not have.
        """
        wanted = set(self.columns or source.columns) | {"id", "label"}
        if wanted & {"geo", *GEO_COLUMNS}:
            wanted = (wanted - {"geo"}) | set(GEO_COLUMNS)
        for name in sorted(wanted):
            if name not in source.columns:
                known = f"one of {', '.join(source.columns)}"
                why = "not in the source" if name in COLUMNS else "no such column"
                raise So2SatError(f"column {name}", found=why, expected=known)
        return tuple(name for name in source.columns if name in wanted)


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did."""

    manifest: Manifest
    """What the folder holds now."""

    written: int
    """Shards written by this run."""

    reused: int
    """Shards that an earlier run had finished."""


def build(
    source: Source,
    out: Path,
    options: BuildOptions | None = None,
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[int], None] | None = None,
) -> BuildReport:
    """Convert a source into a folder that ``load_dataset`` opens.

    Killed at any moment, the same call continues; the result is byte-identical, however it was reached.

    Args:
        source: where patches come from.
        out: the folder; new, empty, or built before.
        options: what to make.
        jobs: processes at work, this one among them; default: one per core.
        executor: runs the shards instead of processes of our own, e.g. Dask's
            ``Client.get_executor(pure=False)``; its workers must see the same files.
        progress: called with the number of rows of each shard that is done, reused ones first.

    Raises:
        SourceError: the source holds what it must not.
        LossyError: a value cannot be stored exactly.
        FolderError: the folder cannot be used or written.
    """
    options, out = options or BuildOptions(), out.resolve()
    if isinstance(source, BuiltSource):
        if source.folder.resolve() == out:
            raise FolderError(
                out, found="source and output are the same folder", remedy="choose another output"
            )
        source.check_hashes()
    columns = options.columns_of(source)
    shards = plan_shards(
        source.num_rows, file_format=options.file_format, rows_per_shard=options.rows_per_shard
    )
    plan = _plan(source, options, columns, shards)
    workspace = Workspace(out, plan)
    with locked(out):
        workspace.prepare()
        done = {shard: receipt for shard in shards if (receipt := workspace.receipt(shard))}
        reused = len(done)
        for shard in done:
            _report(progress, shard)
        missing = [shard for shard in shards if shard not in done]
        if missing:
            arrow_schema = schema(columns, sen2_dtype=options.sen2_dtype).serialize().to_pybytes()
            tasks = {shard: ShardTask(shard, source, arrow_schema, workspace.stage) for shard in missing}
            for shard, receipt in run(write_shard, tasks, jobs=jobs, executor=executor):
                done[shard] = receipt
                _report(progress, shard)
        _check_unchanged(source, plan)
        receipts = [done[shard] for shard in shards]
        manifest, statistics = _manifest(source, options, columns, receipts)
        if missing or not workspace.is_published(manifest, shards):
            texts = {**statistics, MANIFEST: manifest.to_json(), README: readme.render(manifest)}
            workspace.publish(manifest, texts)
    return BuildReport(manifest, written=len(missing), reused=reused)


def _report(progress: Callable[[int], None] | None, shard: Shard) -> None:
    if progress:
        progress(shard.num_rows)


def _plan(
    source: Source, options: BuildOptions, columns: tuple[str, ...], shards: Sequence[Shard]
) -> dict[str, object]:
    """Everything that decides the bytes of the output."""
    return {
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "options": {**asdict(options), "columns": columns},
        "allow_rounding": bool(getattr(source, "allow_rounding", False)),
        "sources": source.fingerprint(),
        "shards": [shard.path for shard in shards],
    }


def _check_unchanged(source: Source, plan: dict[str, object]) -> None:
    """Refuse to publish what was read from files that are others by now."""
    if source.fingerprint() != plan["sources"]:
        raise SourceError(
            "source",
            found="files that were changed or replaced while they were read",
            expected="files that stay as they are",
            remedy="run the same command again",
        )


def _manifest(
    source: Source, options: BuildOptions, columns: tuple[str, ...], receipts: Sequence[Receipt]
) -> tuple[Manifest, dict[str, str]]:
    """Return the manifest, and name -> content of the other small files it lists."""
    splits = {}
    for split in source.num_rows:
        parts = [receipt for receipt in receipts if receipt.split == split]
        splits[split] = SplitRecord(
            rows=sum(part.rows for part in parts),
            memory=sum(part.memory for part in parts),
            class_counts=tuple(map(sum, zip(*(part.class_counts for part in parts), strict=True))),
        )
    rounding: dict[str, float] = {}
    for receipt in receipts:
        for column, error in receipt.rounding.items():
            rounding[column] = max(error, rounding.get(column, 0.0))
    texts = {}
    merged = moments.merge(receipt.moments for receipt in receipts)
    if merged:
        statistics = moments.as_statistics(
            merged, split=STATISTICS_SPLIT, num_rows=splits[STATISTICS_SPLIT].rows
        )
        texts[STATISTICS] = json.dumps(statistics, indent=1) + "\n"
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        package_version=__version__,
        file_format=options.file_format,
        columns=columns,
        sen2_dtype=options.sen2_dtype,
        geolocation=source.geo_generation if "city" in columns else None,
        rounding=rounding,
        sources=source.records(),
        splits=splits,
        shards=tuple(ShardRecord(r.path, r.split, r.rows, r.bytes, r.sha256) for r in receipts),
        files=tuple(_file_record(name, text) for name, text in texts.items()),
    )
    return manifest, texts


def _file_record(name: str, text: str) -> FileRecord:
    data = text.encode()
    return FileRecord(name, len(data), hashlib.sha256(data).hexdigest())
