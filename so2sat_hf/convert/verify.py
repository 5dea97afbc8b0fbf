"""Is a built folder what it says it is, and is every value the published one?"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from so2sat_hf.convert import readme
from so2sat_hf.convert.compare import Comparison
from so2sat_hf.convert.configs import schema_of
from so2sat_hf.convert.executor import run
from so2sat_hf.convert.manifest import README, Manifest
from so2sat_hf.convert.patches import row_id
from so2sat_hf.convert.plan import SUFFIX
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.convert.reading import read_tables
from so2sat_hf.convert.records import CompanionFile, ShardRecord
from so2sat_hf.convert.split_file import SplitFile, read_labels
from so2sat_hf.convert.table import schema
from so2sat_hf.convert.unpack import sha256_of
from so2sat_hf.errors import So2SatError
from so2sat_hf.facts import NUM_CLASSES

UNREADABLE = (
    *(OSError, ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError),
    yaml.YAMLError,
)
"""What comes of a README that is something else."""

LONGEST_HEAD = 1 << 20
"""Characters of YAML; a README of all configs has some ten thousand. More would take minutes to read."""

MAX_PROBLEMS = 10
"""Differences reported per shard; the first ones tell what is the matter."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found."""

    num_files: int
    """Files checked, those of companions among them."""

    num_rows: int
    """Patches checked."""

    num_values: int
    """Values of the data files compared with the HDF5; 0 without it."""

    problems: tuple[str, ...]
    """One sentence each; empty if all is well."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One file to check. Picklable."""

    folder: Path
    path: str
    rows: int
    size: int
    sha256: str
    manifest: Manifest
    schema: bytes
    against: SplitFile | None
    """Whose rows it holds, where they are to be compared."""


@dataclass(frozen=True, slots=True)
class _Finding:
    """What was found in one file."""

    problems: list[str]
    num_values: int
    """Values compared with the HDF5."""
    hdf5_rows: NDArray[np.int64]
    """Rows of the HDF5 that it holds."""


def verify(
    folder: Path,
    against: RawSource | None = None,
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Check a built folder: hashes and schema of every file, and every value against its source.

    The sha256 of the manifest tells of every byte that was changed since the build. Readers alone tell of
    most in Parquet files, whose pages have checksums, and of few in Arrow files, which are mapped as is.

    Args:
        folder: what ``so2sat build`` wrote.
        against: the published files; with them every value is compared, back to the float64.
        jobs: processes at work, this one among them; default: one per core.
        executor: see :func:`so2sat_hf.convert.build.build`.
        progress: called with the rows of each data file that was checked.

    Raises:
        FolderError: there is no manifest.
    """
    manifest = Manifest.read(folder)
    problems = [*_check_folder(folder, manifest), *_check_splits(manifest, against)]
    tasks = _tasks(folder, manifest, against)
    data = {shard.path: shard for shard in manifest.shards}
    found: dict[str, _Finding] = {}
    for path, finding in run(_check_file, tasks, jobs=jobs, executor=executor):
        found[path] = finding
        if progress and path in data:
            progress(data[path].rows)
    problems += [sentence for path in tasks for sentence in found[path].problems]
    if against is not None and not problems:
        problems += _check_complete(manifest, against, {path: found[path].hdf5_rows for path in data})
    num_values = sum(found[path].num_values for path in data)
    return Verification(len(tasks), manifest.num_rows, num_values, tuple(problems))


def _tasks(folder: Path, manifest: Manifest, against: RawSource | None) -> dict[str, _Task]:
    """Path -> task, for the data files and those of the companions."""

    def task(file: ShardRecord | CompanionFile, schema: bytes, *, has_patches: bool) -> _Task:
        raw = against.file(file.split) if against and file.split in against.num_rows else None
        origin = raw if has_patches else None
        return _Task(folder, file.path, file.rows, file.bytes, file.sha256, manifest, schema, origin)

    wanted = schema(manifest.columns, sen2_dtype=manifest.sen2_dtype).serialize().to_pybytes()
    tasks = {shard.path: task(shard, wanted, has_patches=True) for shard in manifest.shards}
    for companion in manifest.companions:
        kind = schema_of(companion)
        for file in companion.files:
            tasks[file.path] = task(file, kind, has_patches=kind == wanted)
    return tasks


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
            yield f"{path.relative_to(folder)}: not in the manifest, but a reader would take it for data"
    try:
        head = _head((folder / README).read_text())
        current = all(manifest.digest in config["description"] for config in head["configs"])
    except UNREADABLE:
        yield f"{README}: missing or without the YAML that load_dataset reads"
        return
    wanted = readme.head(manifest)
    if not current:
        yield f"{README}: belongs to another manifest"
    elif any(head.get(key) != wanted[key] for key in ("configs", "dataset_info")):
        yield f"{README}: its configs are not those of the manifest: load_dataset would read other files"


def _head(readme: str) -> Any:  # noqa: ANN401
    """Return the YAML of a README."""
    text = readme.split("---\n")[1]
    if len(text) > LONGEST_HEAD:
        raise ValueError(f"{len(text):,} characters of YAML")
    return yaml.safe_load(text)


def _check_splits(manifest: Manifest, against: RawSource | None) -> Iterator[str]:
    """Whether rows and classes are those of the HDF5; that they add up, reading the manifest has checked."""
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
    return tuple(np.bincount(read_labels(path), minlength=NUM_CLASSES).tolist())


def _check_complete(
    manifest: Manifest, against: RawSource, rows: Mapping[str, NDArray[np.int64]]
) -> Iterator[str]:
    """Whether every row of the HDF5 is in exactly one data file."""
    for split, num_rows in against.num_rows.items():
        parts = [rows[shard.path] for shard in manifest.shards_of(split)]
        counts = np.bincount(np.concatenate(parts), minlength=num_rows)
        for count, what in ((0, "in no data file"), (2, "in two data files")):
            bad = np.flatnonzero(counts == count)
            if len(bad):
                example = row_id(against.file(split).stem, int(bad[0]))
                yield f"{split}: {len(bad):,} rows are {what}, e.g. {example}"


def _check_file(task: _Task) -> _Finding:
    """Check one file."""
    path = task.folder / task.path
    finding = _Finding([], 0, np.zeros(0, np.int64))
    if not path.is_file():
        finding.problems.append(f"{task.path}: missing, but listed in the manifest")
        return finding
    if path.stat().st_size != task.size or sha256_of(path) != task.sha256:
        finding.problems.append(f"{task.path}: sha256 differs from the manifest: it was changed or damaged")
    try:
        if _signature(_schema_of(path)) != _signature(pa.ipc.read_schema(pa.py_buffer(task.schema))):
            finding.problems.append(f"{task.path}: another schema than the manifest says")
            return finding
        num_rows = _num_rows(path)
        if num_rows != task.rows:
            finding.problems.append(f"{task.path}: {num_rows:,} rows, but {task.rows:,} in the manifest")
        return _compared(task, finding)
    except So2SatError as error:
        finding.problems.append(str(error))
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        finding.problems.append(f"{task.path}: cannot be decoded ({error})")
    return finding


def _compared(task: _Task, finding: _Finding) -> _Finding:
    """Read every row, and compare it with the HDF5 where that is wanted."""
    problems, num_values, rows = finding.problems, 0, [finding.hdf5_rows]
    for table in read_tables(task.folder, task):
        if task.against is not None and len(problems) < MAX_PROBLEMS:
            comparison = Comparison(task.path, task.manifest, task.against, table)
            problems += comparison.problems()
            num_values += comparison.num_values
            rows.append(comparison.rows)
            del comparison
        del table  # before the next one is read
    return _Finding(problems[:MAX_PROBLEMS], num_values, np.concatenate(rows))


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
