"""Verification: silent when all is well, and precise about what is not."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from so2sat_hf.convert.build import build
from so2sat_hf.convert.encode import parquet_writer
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.convert.unpack import sha256_of
from so2sat_hf.convert.verify import verify
from so2sat_hf.errors import FolderError

FORMATS = {
    "parquet": BuildOptions(rows_per_shard=100),
    "arrow": BuildOptions(file_format="arrow", rows_per_shard=100),
    "uint16": BuildOptions(file_format="arrow", sen2_dtype="uint16", rows_per_shard=100),
}


@pytest.fixture(scope="module", params=list(FORMATS))
def built(
    request: pytest.FixtureRequest, source: RawSource, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("verify") / request.param
    build(source, out, FORMATS[request.param], jobs=1)
    return out


@pytest.fixture
def copy(source: RawSource, tmp_path: Path) -> Path:
    """A Parquet folder that a test may damage."""
    build(source, tmp_path / "out", FORMATS["parquet"], jobs=1)
    return tmp_path / "out"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_good_folder_passes(built: Path, source: RawSource, jobs: int) -> None:
    """Every value is compared: 18,432 pixels, a label and six columns of the geolocation a patch."""
    result = verify(built, source, jobs=jobs)

    assert result.problems == ()
    assert result.num_values == 420 * (18 * 32 * 32 + 1 + 6)
    assert verify(built).problems == ()


@pytest.mark.parametrize("position", [0.0, 0.3, 0.9, 1.0])
def test_one_flipped_byte_is_found(copy: Path, position: float) -> None:
    """Anywhere in a data file."""
    path = copy / Manifest.read(copy).shards[2].path
    data = bytearray(path.read_bytes())
    data[int(position * (len(data) - 1))] ^= 0x10
    path.write_bytes(data)

    problems = verify(copy, jobs=1).problems

    assert problems
    assert all(path.name in problem and "data/train" in problem for problem in problems)


def rewrite(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the first data file and put its new hash into the manifest, as a forger would."""
    text = (folder / "manifest.json").read_text()
    shard = Manifest.read(folder).shards[0]
    path = folder / shard.path
    table = change(pq.read_table(path))
    with parquet_writer(path, table.schema) as writer:
        writer.write_table(table)
    text = text.replace(shard.sha256, sha256_of(path)).replace(
        f'"bytes": {shard.bytes}', f'"bytes": {path.stat().st_size}'
    )
    (folder / "manifest.json").write_text(text)


def replaced(table: pa.Table, name: str, values: object) -> pa.Table:
    index = table.schema.get_field_index(name)
    field = table.schema.field(index)
    column = pa.array(values, getattr(field.type, "storage_type", field.type))
    if isinstance(field.type, pa.BaseExtensionType):
        column = pa.ExtensionArray.from_storage(field.type, column)
    return table.set_column(index, field, column)


def changed(name: str, row: int, value: object) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[name].to_pylist()
        if isinstance(values[row], list):
            values[row][3][4][5] = np.nextafter(np.float32(values[row][3][4][5]), np.float32(9))
        else:
            values[row] = value
        return replaced(table, name, values)

    return change


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sen1", None, r"training/000007, VV_imag, pixel \(4, 5\): .* 1 values differ"),
        ("sen2", None, r"training/000007, B05, pixel \(4, 5\): .* 1 values differ"),
        ("label", 99, r"training/000007: label 99, expected \d+"),
        ("label", "other", r"training/000007: label \d+, expected"),
        (
            "id",
            "training/000008",
            "id training/000008 after training/000008, expected rows in incr",
        ),
        ("x_ul", 500_000.0, "training/000007: x_ul 500000.0, expected"),
        ("latitude", 12.0, "training/000007: latitude 12.0, expected"),
        ("city", "munich", "training/000007: city 'munich', expected"),
    ],
)
def test_one_changed_value_is_found_even_with_a_matching_hash(
    copy: Path, source: RawSource, name: str, value: object, message: str
) -> None:
    """The smallest change of a single value is told with patch, band and pixel."""
    if value == "other":
        value = (int(next(source.blocks("train", range(7, 8), columns=(), size=1)).label[0]) + 1) % 17
    rewrite(copy, changed(name, 7, value))

    problems = "\n".join(verify(copy, source, jobs=1).problems)

    assert "sha256" not in problems
    assert re.search(message, problems), problems


def test_what_is_missing_or_too_much_is_found(copy: Path, raw: Path) -> None:
    """A missing file, a file that load_dataset would read but nobody lists, a README of another build."""
    manifest = Manifest.read(copy)
    (copy / manifest.shards[0].path).unlink()
    (copy / "data" / "test" / "extra.parquet").write_bytes(b"")
    (copy / "statistics.json").write_text("{}")
    readme = (copy / "README.md").read_text()
    (copy / "README.md").write_text(readme.replace(manifest.digest, "0123456789abcdef"))

    problems = "\n".join(verify(copy, jobs=1).problems)

    assert f"{manifest.shards[0].path}: missing" in problems
    assert "data/test/extra.parquet: not in the manifest" in problems
    assert "statistics.json: differs" in problems
    assert "README.md: belongs to another manifest" in problems
    (copy / "README.md").unlink()
    assert "README.md: missing" in "\n".join(verify(copy, open_raw(raw), jobs=1).problems)


def test_a_readme_that_leads_elsewhere_is_found(copy: Path) -> None:
    """Train and test swapped in the YAML, though the digest is right."""
    readme = copy / "README.md"
    text = readme.read_text().replace("data/train/*", "data/swap/*").replace("data/test/*", "data/train/*")
    readme.write_text(text.replace("data/swap/*", "data/test/*"))

    assert "load_dataset would read other files" in "\n".join(verify(copy, jobs=1).problems)


def test_rows_that_nobody_lists_are_found(copy: Path) -> None:
    """A shard with more rows than the manifest says, and a manifest whose files do not add up."""
    rewrite(copy, lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    assert "87 rows, but 86 in the manifest" in "\n".join(verify(copy, jobs=1).problems)

    manifest = json.loads((copy / "manifest.json").read_text())
    gone = manifest["shards"].pop(0)
    (copy / gone["path"]).unlink()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FolderError, match="train has 260 rows, but its files have"):
        verify(copy, jobs=1)


def test_values_off_the_grid_that_float32_holds_are_right(
    write_h5: Callable[..., Path], tmp_path: Path
) -> None:
    """Rounding of 0 is rounding all the same; a change of one bit is still found."""
    sen2 = np.random.default_rng(1).random((6, 32, 32, 10)).astype(np.float32).astype(np.float64)
    path = write_h5(sen2=sen2)
    for options in (BuildOptions(), BuildOptions(file_format="arrow", sen2_dtype="uint16")):
        out = tmp_path / options.file_format
        build(open_raw(path.parent, allow_rounding=True), out, options, jobs=1)

        assert verify(out, open_raw(path.parent), jobs=1).problems == ()
    with h5py.File(path, "a") as file:
        file["sen2"][2, 3, 4, 5] = np.nextafter(np.float32(sen2[2, 3, 4, 5]), np.float32(2))
    assert len(verify(tmp_path / "parquet", open_raw(path.parent), jobs=1).problems) == 1


def test_another_source_is_not_this_one(copy: Path, write_h5: Callable[..., Path]) -> None:
    """Other row counts and splits are said at once."""
    other = open_raw(write_h5(num_rows=6).parent)

    problems = "\n".join(verify(copy, other, jobs=1).problems)

    assert "train: 260 rows, but training.h5 has 6" in problems
    assert "test: no HDF5 file to compare it with" in problems
    assert "geolocation: no geo files" in problems


def test_a_rounded_build_verifies_to_its_tolerance(write_h5: Callable[..., Path], tmp_path: Path) -> None:
    """Within the manifest's tolerance nothing is reported; beyond it everything is."""
    path = write_h5(sen2=np.full((6, 32, 32, 10), 0.12345))
    build(open_raw(path.parent, allow_rounding=True), tmp_path / "out", jobs=1)

    assert verify(tmp_path / "out", open_raw(path.parent), jobs=1).problems == ()
    with h5py.File(path, "a") as file:
        file["sen2"][2, 3, 4, 5] = 0.1235
    problems = verify(tmp_path / "out", open_raw(path.parent), jobs=1).problems
    assert len(problems) == 1
    assert "training/000002, B07, pixel (3, 4)" in problems[0]


def test_a_folder_without_a_manifest_is_no_built_folder(tmp_path: Path) -> None:
    """Said plainly, not with a traceback."""
    with pytest.raises(FolderError, match="no manifest"):
        verify(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"format_version": "9.0"}', '{"format_version": "1.0"}', "\x00"]
)
def test_a_broken_manifest_is_refused(copy: Path, text: str) -> None:
    """Whatever is in the file, the answer is one clear error."""
    (copy / "manifest.json").write_text(text)

    with pytest.raises(FolderError, match=r"cannot be read|format version 9\.0"):
        verify(copy)


@pytest.mark.parametrize("path", ["../outside.parquet", "/etc/passwd", "data//x", "data/./x", "a\\b"])
def test_a_manifest_cannot_lead_out_of_the_folder(copy: Path, path: str) -> None:
    """Paths are relative and go down."""
    manifest = copy / "manifest.json"
    first = Manifest.read(copy).shards[0].path
    manifest.write_text(manifest.read_text().replace(first, path.replace("\\", "\\\\")))

    with pytest.raises(FolderError, match="shard path"):
        verify(copy)
