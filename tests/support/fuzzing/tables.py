"""Parquet and Arrow files: shards, the index, tables of folds; and every reader of them."""

import io
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fuzzing.base import linked, made, replaced, true_rows
from fuzzing.mutate import ODD_VALUES, damaged

Attempt = Callable[[Random, Path], None]
SPLIT = "test"
IDS = [f"testing/{row:06d}" for row in range(12)]


def shards(base: Path, name: str) -> Attempt:
    """Data files of a built folder, with the manifest as it was or with their new hashes in it."""
    from so2sat_hf.convert.manifest import Manifest
    from so2sat_hf.convert.unpack import sha256_of

    built, truth = made(base, name), true_rows(base)
    record = Manifest.read(built).shards_of(SPLIT)[0]
    content = (built / record.path).read_bytes()
    table = pq.read_table(built / record.path) if name == "out" else pa.ipc.open_file(content).read_all()

    def attempt(rng: Random, folder: Path) -> None:
        copy = linked(built, folder / "out")
        is_table = rng.random() < 0.4
        new = _written(odd_table(table, rng), name) if is_table else damaged(content, rng)
        replaced(copy / record.path, new)
        is_forged = is_table or rng.random() < 0.3
        if is_forged:
            forge(copy, record, sha256_of(copy / record.path), len(new))
        reader = rng.choice(READERS[name])
        found = reader(copy)
        if reader is verified:
            assert found or is_forged or new == content, "a change that verification did not see"
        elif name == "out" and not is_table:  # pages of Parquet have checksums
            compare(found, truth)

    return attempt


def forge(folder: Path, record: Any, digest: str, size: int) -> None:
    text = (folder / "manifest.json").read_text().replace(record.sha256, digest)
    head, path, rest = text.partition(f'"path": "{record.path}"')
    rest = rest.replace(f'"bytes": {record.bytes}', f'"bytes": {size}', 1)
    replaced(folder / "manifest.json", (head + path + rest).encode())


def _written(table: pa.Table, name: str) -> bytes:
    sink = io.BytesIO()
    if name == "out":
        pq.write_table(table, sink, write_page_checksum=True)
    else:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


def odd_table(table: pa.Table, rng: Random) -> pa.Table:
    """Return another table: a column that is missing, twice there, of another kind, or with other values."""
    number = rng.randrange(table.num_columns)
    name, column = table.column_names[number], table.column(number).combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    kind = rng.randrange(7)
    if kind == 0:
        return table.drop_columns([name])
    if kind == 1:
        return table.append_column(name, table.column(number))
    if kind == 2:
        return table.slice(rng.choice((0, 1)), rng.choice((0, 1, len(table) - 1)))
    if kind == 3:
        return table.take(pa.array([rng.randrange(len(table)) for _ in range(len(table))]))
    values = storage.to_pylist()
    if kind == 4:
        change = rng.choice((str, float, bool))
        other: Any = pa.array([change(row) for row in range(len(values))])
    elif kind == 5:
        values[rng.randrange(len(values))] = None
        other = pa.array(values, storage.type)
    else:
        other = _other_values(values, storage.type, rng)
    return table.set_column(number, name, other)


def _other_values(values: list[Any], kind: pa.DataType, rng: Random) -> pa.Array:
    row = rng.randrange(len(values))
    if isinstance(values[row], list):  # another shape
        values[row] = rng.choice((values[row][1:], [], [*values[row], values[row][0]], [[[]]]))
        return pa.array(values, kind)
    for _ in range(20):
        values[row] = rng.choice(ODD_VALUES)
        try:
            return pa.array(values, kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            continue
    return pa.nulls(len(values), kind)


def compare(found: Any, truth: dict[str, Any]) -> None:
    ids, sen1, sen2, label = found
    assert len(ids), "no rows"
    rows = [truth["row"][name] for name in ids]
    for name, values in (("sen1", sen1), ("sen2", sen2), ("label", label)):
        assert values is None or np.array_equal(values, truth[name][rows]), f"other {name} than was written"


def verified(folder: Path) -> Any:
    from so2sat_hf.convert.verify import verify

    return verify(folder, jobs=1).problems


def _rebuilt(folder: Path) -> Any:
    """As a source of another build, which compares hashes first."""
    from so2sat_hf.convert.built import open_built

    source = open_built(folder)
    blocks = list(source.blocks(SPLIT, range(12), columns=source.columns, size=5))
    source.labels(SPLIT), source.hdf5_rows(SPLIT)
    sen1, sen2, label = (
        np.concatenate([getattr(each, name) for each in blocks]) for name in ("sen1", "sen2", "label")
    )
    return [name for each in blocks for name in each.ids], sen1, sen2, label


def by_id(folder: Path) -> Any:
    from so2sat_hf.load.by_id import patches

    block = patches(IDS, folder)
    return block.ids, block.sen1, block.sen2, block.label


def _by_id_without_index(folder: Path) -> Any:
    (folder / "index" / f"{SPLIT}.parquet").unlink(missing_ok=True)
    return by_id(folder)


def _streamed(folder: Path) -> Any:
    from so2sat_hf.load.stream import PatchStream

    return _joined(list(PatchStream(folder, SPLIT, shuffle=False, batch_size=5)))


def _some_streamed(folder: Path) -> Any:
    from so2sat_hf.load.stream import PatchStream

    return _joined(list(PatchStream(folder, SPLIT, ids=IDS[3:6], shuffle=True, batch_size=2)))


def _joined(batches: list[Any]) -> Any:
    columns = [
        np.concatenate([np.asarray(each[name]) for each in batches]) for name in ("sen1", "sen2", "label")
    ]
    return [name for each in batches for name in each["id"]], *columns


def _mapped(folder: Path) -> Any:
    from so2sat_hf.load.table import PatchTable

    table = PatchTable(folder, SPLIT)
    return _joined([table[:], table[[0, 5]], {name: [value] for name, value in table[3].items()}])


def _known(folder: Path) -> Any:
    from so2sat_hf.load.files import open_place
    from so2sat_hf.load.split_rows import rows_of

    found = rows_of(open_place(folder), SPLIT)
    return found.ids, None, None, found.label


READERS = {
    "out": (verified, _rebuilt, by_id, _by_id_without_index, _streamed, _some_streamed, _known),
    "shards": (verified, _rebuilt, by_id, _by_id_without_index, _streamed, _mapped, _mapped, _known),
}


def index(base: Path) -> Attempt:
    """Files of the index, given to what needs positions alone; and to by_id."""
    built = made(base, "out")
    paths = [built / "index" / f"{split}.parquet" for split in ("train", "test")]
    contents = {path: path.read_bytes() for path in paths}
    tables = {path: pq.read_table(path) for path in paths}

    def attempt(rng: Random, folder: Path) -> None:
        from so2sat_hf.maps.browse import browse_page
        from so2sat_hf.maps.neighbours import neighbours, repeated
        from so2sat_hf.maps.positions import positions_of
        from so2sat_hf.maps.resplit import share_out

        path = rng.choice(paths)
        is_table = rng.random() < 0.5
        new = _written(odd_table(tables[path], rng), "out") if is_table else damaged(contents[path], rng)
        if rng.random() < 0.3:
            copy = linked(built, folder / "out")
            replaced(copy / "index" / path.name, new)
            found = by_id(copy)
            compare(found, true_rows(base))
            return
        alone = folder / "index"
        alone.mkdir()
        (alone / path.name).write_bytes(new)
        positions = positions_of(str(alone))
        neighbours(positions, ()), repeated(positions)
        if rng.random() < 0.2:
            browse_page(positions, "x", {})
        share_out(positions, by=rng.choice(("city", "block", "distance")), folds=2).table()

    return attempt


def folds(base: Path) -> Attempt:
    """Tables that ``so2sat split`` writes, Parquet and CSV; and tables of ids."""
    built = made(base, "shards")
    ids = true_rows(base)["id"]
    table = pa.table(
        {
            "fold": pa.array([row % 2 for row in range(len(ids))], pa.int32()),
            "split": ["test" if row % 4 == 0 else "train" for row in range(len(ids))],
            "id": ids,
        }
    )
    sink = io.BytesIO()
    pa.csv.write_csv(table, sink)
    contents = {".parquet": _written(table, "out"), ".csv": sink.getvalue()}

    def attempt(rng: Random, folder: Path) -> None:
        from so2sat_hf.load.folds import read_fold
        from so2sat_hf.load.stream import PatchStream

        suffix = rng.choice(list(contents))
        path = folder / f"folds{suffix}"
        new = damaged(contents[suffix], rng)
        if suffix == ".parquet" and rng.random() < 0.5:
            new = _written(odd_table(table, rng), "out")
        path.write_bytes(new)
        if rng.random() < 0.5:
            list(PatchStream(built, "all", ids=path, columns=("label",), batch_size=50))
            return
        for chosen in read_fold(path, 0).values():
            list(PatchStream(built, "all", ids=chosen, columns=("label",), batch_size=50))

    return attempt


def membership(base: Path) -> Attempt:
    """The table that ``so2sat match`` writes."""
    from so2sat_hf.convert.membership import Membership, cells_of, read_membership
    from so2sat_hf.convert.raw import open_raw

    source = open_raw(made(base, "raw"))
    count, rng = sum(source.num_rows.values()), np.random.default_rng(0)
    stems = {file.stem: file.num_rows for file in source.files}
    valid = base / "membership.parquet"
    rows = {"random": np.arange(count, dtype=np.int32)}
    label = true_rows(base)["label"].astype(np.uint8)
    Membership(stems, label, {"random": rng.integers(0, 2, count).astype(np.uint8)}, rows).write(valid)
    content, table = valid.read_bytes(), pq.read_table(valid)
    cells_of(source, read_membership(valid))

    def attempt(rng: Random, folder: Path) -> None:
        path = folder / "membership.parquet"
        plain = table.cast(
            pa.schema([(field.name, getattr(field.type, "value_type", field.type)) for field in table.schema])
        )
        new = damaged(content, rng) if rng.random() < 0.5 else _written(odd_table(plain, rng), "out")
        path.write_bytes(new)
        cells_of(source, read_membership(path))

    return attempt
