"""Is a built folder what it says it is, and is every value the published one?

The comparison reads the HDF5 on its own and decodes by the published rule, not with the code that wrote
the shards.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.built import read_tables
from so2sat_hf.convert.executor import run
from so2sat_hf.convert.hdf5 import SplitFile, read_labels
from so2sat_hf.convert.manifest import README, Manifest, ShardRecord
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, row_id
from so2sat_hf.convert.plan import SUFFIX
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.convert.readme import render
from so2sat_hf.convert.table import schema, to_array
from so2sat_hf.convert.unpack import sha256_of
from so2sat_hf.errors import So2SatError

DEGREES = 1e-9
"""0.1 mm: what processors may differ by in a projection."""

MAX_PROBLEMS = 10
"""Differences reported per shard; the first ones tell what is the matter."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found."""

    num_files: int
    """Data files checked."""

    num_rows: int
    """Patches checked."""

    num_values: int
    """Values compared with the HDF5; 0 without it."""

    problems: tuple[str, ...]
    """One sentence each; empty if all is well."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One shard to check. Picklable."""

    folder: Path
    shard: ShardRecord
    manifest: Manifest
    start: int
    """Row of the split that is the first of the shard."""
    against: SplitFile | None
    schema: bytes


def verify(
    folder: Path,
    against: RawSource | None = None,
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Check a built folder: hashes and schema of every file, and every value against its source.

    Args:
        folder: what ``so2sat build`` wrote.
        against: the published files; with them every value is compared, back to the float64.
        jobs: processes at work, this one among them; default: one per core.
        executor: see :func:`so2sat_hf.convert.build.build`.
        progress: called with the rows of each shard that was checked.

    Raises:
        FolderError: there is no manifest.
    """
    manifest = Manifest.read(folder)
    problems = [*_check_folder(folder, manifest), *_check_splits(manifest, against)]
    wanted = schema(manifest.columns, sen2_dtype=manifest.sen2_dtype).serialize().to_pybytes()
    tasks, offsets = {}, dict.fromkeys(manifest.splits, 0)
    for shard in manifest.shards:
        file = against.file(shard.split) if against and shard.split in against.num_rows else None
        tasks[shard.path] = _Task(folder, shard, manifest, offsets[shard.split], file, wanted)
        offsets[shard.split] += shard.rows
    found: dict[str, list[str]] = {}
    num_values = 0
    for path, (values, sentences) in run(_check_shard, tasks, jobs=jobs, executor=executor):
        found[path] = sentences
        num_values += values
        if progress:
            progress(tasks[path].shard.rows)
    problems += [sentence for path in tasks for sentence in found[path]]
    return Verification(len(manifest.shards), manifest.num_rows, num_values, tuple(problems))


def _check_folder(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What is beside the shards: small files, the README, files that would be loaded but are not listed."""
    for record in manifest.files:
        path = folder / record.path
        if not path.is_file() or sha256_of(path) != record.sha256:
            state = "differs from" if path.is_file() else "missing, but listed in"
            yield f"{record.path}: {state} the manifest"
    listed = {shard.path for shard in manifest.shards}
    for path in sorted(folder.glob(f"data/*/*{SUFFIX[manifest.file_format]}")):
        if path.relative_to(folder).as_posix() not in listed:
            yield f"{path.relative_to(folder)}: not in the manifest, but load_dataset would read it"
    try:
        head = _head((folder / README).read_text())
        current = all(manifest.digest in config["description"] for config in head["configs"])
    except (OSError, ValueError, IndexError, KeyError, TypeError, yaml.YAMLError):
        yield f"{README}: missing or without the YAML that load_dataset reads"
        return
    wanted = _head(render(manifest))
    if not current:
        yield f"{README}: belongs to another manifest"
    elif any(head.get(key) != wanted[key] for key in ("configs", "dataset_info")):
        yield f"{README}: its configs are not those of the manifest: load_dataset would read other files"


def _head(readme: str) -> Any:  # noqa: ANN401
    """Return the YAML of a README."""
    return yaml.safe_load(readme.split("---\n")[1])


def _check_splits(manifest: Manifest, against: RawSource | None) -> Iterator[str]:
    """Whether rows and classes add up: in the manifest, and to those of the HDF5."""
    for split, record in manifest.splits.items():
        rows = sum(shard.rows for shard in manifest.shards_of(split))
        if not rows == record.rows == sum(record.class_counts):
            yield f"{split}: {record.rows:,} rows, but its files have {rows:,} in the manifest"
    if against is None:
        return
    for split, rows in against.num_rows.items():
        built = manifest.splits[split].rows if split in manifest.splits else 0
        path = against.file(split).path
        if built != rows:
            yield f"{split}: {built:,} rows, but {path.name} has {rows:,}"
        elif _class_counts(path) != manifest.splits[split].class_counts:
            yield f"{split}: other class counts in the manifest than in {path.name}"
    for split in manifest.splits:
        if split not in against.num_rows:
            yield f"{split}: no HDF5 file to compare it with"
    if "city" in manifest.columns and "city" not in against.columns:
        yield "geolocation: no geo files to compare it with"


def _class_counts(path: Path) -> tuple[int, ...]:
    return tuple(np.bincount(read_labels(path), minlength=17).tolist())


def _check_shard(task: _Task) -> tuple[int, list[str]]:
    """Return how many values were compared, and what is wrong with a shard."""
    shard, path = task.shard, task.folder / task.shard.path
    if not path.is_file():
        return 0, [f"{shard.path}: missing, but listed in the manifest"]
    problems = []
    if path.stat().st_size != shard.bytes or sha256_of(path) != shard.sha256:
        problems.append(f"{shard.path}: sha256 differs from the manifest: the file was changed or damaged")
    num_values = 0
    try:
        wanted = pa.ipc.read_schema(pa.py_buffer(task.schema))
        if _signature(_schema_of(path)) != _signature(wanted):
            return 0, [*problems, f"{shard.path}: another schema than the columns in the manifest have"]
        num_rows = _num_rows(path)
        if num_rows != shard.rows:
            problems.append(f"{shard.path}: {num_rows:,} rows, but {shard.rows:,} in the manifest")
        row = 0
        for table in read_tables(task.folder, shard):
            if task.against is not None and len(problems) < MAX_PROBLEMS:
                comparison = _Comparison(task, table, task.start + row)
                problems += comparison.problems()
                num_values += comparison.num_values
                del comparison
            row += len(table)
            del table  # before the next one is read
    except So2SatError as error:
        problems.append(str(error))
    except (ValueError, pa.ArrowException) as error:
        problems.append(f"{shard.path}: cannot be decoded ({error})")
    return num_values, problems[:MAX_PROBLEMS]


def _num_rows(path: Path) -> int:
    if path.suffix == ".parquet":
        return int(pq.read_metadata(path).num_rows)
    with pa.memory_map(str(path)) as stream, pa.ipc.open_file(stream) as file:
        return sum(file.get_batch(index).num_rows for index in range(file.num_record_batches))


def _signature(schema: pa.Schema) -> tuple[object, ...]:
    """Names, storage types and features of a schema, the same with and without extension types registered."""
    storage = [getattr(field.type, "storage_type", field.type) for field in schema]
    features = (schema.metadata or {}).get(b"huggingface")
    types = [
        str(kind).replace("element:", "item:") for kind in storage
    ]  # Parquet renames the fields of lists
    return schema.names, types, features


def _schema_of(path: Path) -> pa.Schema:
    if path.suffix == ".parquet":
        return pq.read_schema(path)
    with pa.memory_map(str(path)) as stream, pa.ipc.open_file(stream) as file:
        return file.schema


class _Comparison:
    """Rows of a table against the same rows of the HDF5."""

    def __init__(self, task: _Task, table: pa.Table, start: int) -> None:
        self.shard, self.manifest, self.table = task.shard, task.manifest, table
        self.file: SplitFile = task.against  # type: ignore[assignment]
        self.start, self.stop = start, start + len(table)
        self.num_values = 0

    def problems(self) -> Iterator[str]:
        """Yield the first difference of every column."""
        if self.stop > self.file.num_rows:
            yield f"{self.shard.path}: rows beyond the end of {self.file.path.name}"
            return
        ids = self.table.column("id").to_pylist()
        wanted = [row_id(self.file.stem, row) for row in range(self.start, self.stop)]
        if ids != wanted:
            row = next(row for row in range(len(ids)) if ids[row] != wanted[row])
            yield f"{self.shard.path}, row {row}: id {ids[row]}, expected {wanted[row]}"
            return
        for sensor in ("sen1", "sen2"):
            if sensor in self.manifest.columns:
                yield from self._pixels(sensor)
        yield from self._labels()
        if "city" in self.manifest.columns and self.file.geo_path is not None:
            yield from self._geolocation()

    def _pixels(self, sensor: str) -> Iterator[str]:
        stored = to_array(self.table.column(sensor).combine_chunks())
        for row, raw in self.file.raw_chunks(sensor, self.start, self.stop):
            chunk = stored[row - self.start : row - self.start + len(raw)].transpose(0, 2, 3, 1)
            decoded = published_value(chunk) if sensor == "sen2" else chunk
            self.num_values += raw.size
            equal = decoded == raw
            if chunk.dtype == np.float32:
                equal &= raw.astype(np.float32) == chunk  # it was stored as the nearest float32
            if sensor in self.manifest.rounding:
                equal |= self._is_rounded(chunk, raw, sensor)
            if not equal.all():
                where = tuple(int(i) for i in np.argwhere(~equal)[0])
                band = facts.bands(sensor)[where[3]].name
                yield (
                    f"{self.shard.path}: {row_id(self.file.stem, row + where[0])}, {band}, "
                    f"pixel ({where[1]}, {where[2]}): {decoded[where]!r}, expected {raw[where]!r}; "
                    f"{np.count_nonzero(~equal):,} values differ in these {len(raw)} rows"
                )
                return

    def _is_rounded(self, chunk: NDArray[Any], raw: NDArray[np.float64], sensor: str) -> NDArray[np.bool_]:
        """Whether values are the rounded ones: the nearest float32, or digital numbers to the tolerance."""
        if chunk.dtype == np.float32:
            return chunk == raw.astype(np.float32)
        return np.abs(chunk / DN_PER_REFLECTANCE - raw) <= self.manifest.rounding[sensor]

    def _labels(self) -> Iterator[str]:
        stored = self.table.column("label").to_numpy()
        for row, raw in self.file.raw_chunks("label", self.start, self.stop):
            labels = stored[row - self.start : row - self.start + len(raw)]
            one_hot = labels[:, None] == np.arange(17)
            self.num_values += len(raw)
            bad = np.flatnonzero((one_hot != raw).any(axis=1))
            if len(bad):
                name = row_id(self.file.stem, row + int(bad[0]))
                yield f"{self.shard.path}: {name}: label {labels[bad[0]]}, expected {raw[bad[0]].argmax()}"
                return

    def _geolocation(self) -> Iterator[str]:
        geo = self.file.locate(self.start, self.stop)
        for column in ("city", "epsg", "x_ul", "y_ul", "longitude", "latitude"):
            stored, wanted = self.table.column(column).to_pylist(), list(getattr(geo, column))
            self.num_values += len(stored)
            close = DEGREES if column in ("longitude", "latitude") else 0
            bad = next((r for r in range(len(stored)) if not _is_equal(stored[r], wanted[r], close)), None)
            if bad is not None:
                name = row_id(self.file.stem, self.start + bad)
                yield f"{self.shard.path}: {name}: {column} {stored[bad]!r}, expected {wanted[bad]!r}"


def _is_equal(stored: Any, wanted: Any, tolerance: float) -> bool:  # noqa: ANN401
    return bool(stored == wanted or (tolerance and abs(stored - wanted) <= tolerance))


def published_value(stored: NDArray[Any]) -> NDArray[np.float64]:
    """Stored ``sen2`` (float32 reflectance or uint16 digital numbers) -> the published float64."""
    exact = stored.astype(np.float64)
    number = exact if stored.dtype == np.uint16 else np.rint(exact * DN_PER_REFLECTANCE)
    return number / DN_PER_REFLECTANCE
