"""What changed input has brought to light, one case each."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rasterio
from click.testing import CliRunner
from fuzzing.base import linked, made, replaced
from fuzzing.tables import forge

from so2sat_hf import facts
from so2sat_hf.cli import cli
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.statistics_file import parse_statistics
from so2sat_hf.convert.unpack import sha256_of
from so2sat_hf.convert.verify import verify
from so2sat_hf.convert.views import sound
from so2sat_hf.errors import FolderError, So2SatError, SourceError
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.columns import Strings
from so2sat_hf.load.folds import read_fold
from so2sat_hf.load.stream import PatchStream
from so2sat_hf.load.table import PatchTable
from so2sat_hf.maps.browse import browse_page
from so2sat_hf.maps.positions import positions_of
from so2sat_hf.maps.scene import open_scene, read_scene
from so2sat_hf.vision.preset_table import from_dict

Change = Callable[[pa.Table], pa.Table]


def test_long_messages_lose_their_middle() -> None:
    """What was found may be a whole file."""
    said = str(So2SatError("x", found="a" * 5000 + "b", expected="c"))

    assert len(said) < 900
    assert said.endswith("ab; expected c")


@pytest.fixture
def shards(base: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """Return a folder of Arrow files, one of them changed, with its hash in the manifest."""

    def changed(change: Change) -> Path:
        folder = linked(made(base, "shards"), tmp_path / "shards")
        record = Manifest.read(folder).shards_of("test")[0]
        table = change(pa.ipc.open_file((folder / record.path).read_bytes()).read_all())
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        replaced(folder / record.path, sink.getvalue().to_pybytes())
        forge(folder, record, sha256_of(folder / record.path), (folder / record.path).stat().st_size)
        return folder

    return changed


def readers(folder: Path) -> list[Callable[[], object]]:
    return [
        lambda: patches(["testing/000003"], folder),
        lambda: list(PatchStream(folder, "test", shuffle=False, batch_size=6)),
        lambda: PatchTable(folder, "test")[:],
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["longitude"]), "columns longitude"),
        (lambda table: table.append_column("epsg", table.column("epsg")), "2 columns epsg"),
        (lambda table: with_column(table, "label", pa.array(["0"] * 12)), "column label of type string"),
        (
            lambda table: with_column(table, "epsg", pa.array([None] * 12, pa.int32())),
            "nulls; expected a value each",
        ),
        (lambda table: with_column(table, "sen1", ragged(table, "sen1")), "column sen1: "),
    ],
)
def test_files_of_another_kind_are_refused_by_all_readers(
    shards: Callable[[Change], Path], change: Change, message: str
) -> None:
    """Also where the manifest has their hash."""
    for read in readers(shards(change)):
        with pytest.raises(SourceError, match=message):
            read()


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def ragged(table: pa.Table, name: str) -> pa.Array:
    """Return pixels of which one patch has a band less."""
    column = table.column(name).chunk(0)
    storage = getattr(column, "storage", column)
    rows = storage.to_pylist()
    rows[3] = rows[3][1:]
    return pa.array(rows, storage.type)


def test_classes_that_are_not_there_are_refused(shards: Callable[[Change], Path]) -> None:
    """A label of 17 is no class."""
    folder = shards(lambda table: with_column(table, "label", pa.array([17] * 12)))

    with pytest.raises(SourceError, match="label: 17 to 17; expected 0 to 16"):
        patches(["testing/000003"], folder)


def test_strings_beyond_their_bytes_end_no_process() -> None:
    """Arrow would read memory that is not there."""
    offsets = np.array([0, 2**30, 3], np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"abc")]
    broken = pa.Array.from_buffers(pa.string(), 2, buffers)

    with pytest.raises(pa.ArrowInvalid):
        sound(pa.RecordBatch.from_arrays([broken], ["id"]))
    with pytest.raises(SourceError, match="column id: damaged"):
        _ = Strings(pa.chunked_array([broken]), "id").values


def test_verification_goes_on_after_a_file_that_is_none(base: Path, tmp_path: Path) -> None:
    """It is one problem among others."""
    folder = linked(made(base, "out"), tmp_path / "out")
    path = folder / Manifest.read(folder).shards[0].path
    replaced(path, path.read_bytes()[:-9] + b"\0PAR1PAR1")

    assert any("cannot be decoded" in problem for problem in verify(folder, jobs=1).problems)


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain["bands"]["B02"].pop("unit"),
        lambda plain: plain["bands"]["B02"].update(mean="x"),
        lambda plain: plain["bands"]["B02"].update(std=0),
        lambda plain: plain["bands"]["B02"].update(std=10**400),
        lambda plain: plain["bands"].update(B02=7),
        lambda plain: plain.update(bands=[]),
        lambda plain: plain.update(rows=None),
    ],
)
def test_statistics_are_checked_where_they_are_read(base: Path, change: Callable[[Any], object]) -> None:
    """For presets and for the dataset card alike."""
    plain = json.loads((made(base, "out") / "statistics.json").read_text())
    parse_statistics(json.dumps(plain), "out")
    change(plain)

    with pytest.raises(FolderError, match=r"statistics\.json of out: damaged"):
        parse_statistics(json.dumps(plain), "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slots": [7]}, "a slot: 7; expected a band or a table"),
        ({"slots": True}, "slots True"),
        ({"slots": [{"band": {}, "name": "a"}]}, "neither a band nor"),
        ({"slots": [{"band": "B02", "unit": []}]}, r"unit of a slot \[\]; expected a text"),
        ({"slots": [{"band": "B02", "mean": 10**400, "std": 1}]}, "expected a finite number"),
        ({"sources": 7}, "sources: 7; expected a list"),
        ({"tier": "x"}, "tier 'x'; expected a whole number"),
        ({"size": 10**9}, "size 1000000000"),
        ({"note": {}}, "note {}; expected a text"),
    ],
)
def test_presets_of_other_kinds_are_refused(change: dict[str, Any], message: str) -> None:
    """TOML has numbers, lists and tables where a text must be."""
    with pytest.raises(So2SatError, match=message):
        from_dict({"name": "mine", "size": 32, "slots": ["B02"]} | change)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (">10000<", ">nan<", "VALUE 'nan'; expected a number"),
        (">10000<", ">1e-9<", "VALUE 1e-09"),
        ('band_id="3"', 'band_id="-1"', "band_id '-1'; expected 0 to 12"),
        (' band_id="3"', "", "band_id ''"),
        (">-1000<", ">x<", "OFFSET 'x'"),
    ],
)
def test_numbers_of_a_product_are_checked(
    base: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    """An offset of band -1 would be that of B12."""
    safe = linked(next(made(base, "scene").glob("*.SAFE")), tmp_path / "scene.SAFE")
    metadata = next(safe.glob("MTD_*.xml"))
    assert old in metadata.read_text()
    replaced(metadata, metadata.read_text().replace(old, new).encode())

    with pytest.raises(So2SatError, match=message):
        open_scene(safe, ("B02",))


def test_damaged_pixels_of_a_scene_are_named(base: Path, tmp_path: Path) -> None:
    """GDAL opens the file and fails later, while a tile is read."""
    path = tmp_path / "scene.tif"
    shutil.copy(made(base, "scene") / "scene.tif", path)
    content = path.read_bytes()
    path.write_bytes(content[:2000] + bytes(200_000) + content[202_000:])
    with rasterio.open(path) as file:
        assert file.count == 10

    scene = open_scene(path, ("B02",))
    with pytest.raises(So2SatError, match=r"scene\.tif"):
        read_scene(scene, 32632, *scene.info.bounds[::3], 128, 128)


def test_ids_of_an_index_are_checked(base: Path, tmp_path: Path) -> None:
    """The browse page counts rows from them."""
    table = pa.parquet.read_table(made(base, "out") / "index" / "test.parquet")
    ids = pa.array(["testing/0.0", *table["id"].to_pylist()[1:]])
    pa.parquet.write_table(with_column(table, "id", ids), tmp_path / "test.parquet")

    with pytest.raises(SourceError, match="ids such as training/000123"):
        browse_page(positions_of(str(tmp_path / "test.parquet")), "x", {})


def test_classes_of_a_model_may_be_anything() -> None:
    """Names that are no names are other classes."""
    from so2sat_hf.training.classifier import class_order

    with pytest.raises(So2SatError, match="17 classes"):
        class_order(dict(enumerate([{}, [], 3, *facts.class_names()[3:]])))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": pa.array([b"\xff", b"a"])}, "cannot be read"),
        ({"fold": pa.array([0, None])}, "1 nulls in fold"),
        ({"fold": pa.array(["x", "y"])}, "cannot be read"),
    ],
)
def test_tables_of_folds_are_checked(tmp_path: Path, columns: dict[str, pa.Array], message: str) -> None:
    """Also a row without fold, which would be in none."""
    path = tmp_path / "folds.parquet"
    pa.parquet.write_table(
        pa.table({"fold": [0, 1], "split": ["train", "test"], "id": ["a", "b"]} | columns), path
    )

    with pytest.raises(SourceError, match=message):
        read_fold(path, 0)


def test_a_colon_in_a_name_is_no_address(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow would look for a file system called EPSG."""
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(cli, ["split", str(made(base, "out")), "-o", "EPSG:4326", "--folds", "2"])

    assert result.exit_code == 0, result.output
    assert read_fold(tmp_path / "EPSG:4326", 0)


@pytest.mark.parametrize(
    "path", ["data/\0.parquet", "data/a\nb.parquet", "data\\a.parquet", "/data/a.parquet", "data/../../a"]
)
def test_paths_of_a_manifest_are_checked(base: Path, path: str) -> None:
    """A path with a zero byte names no file anywhere."""
    plain = json.loads((made(base, "out") / "manifest.json").read_text())
    plain["shards"][0]["path"] = path

    with pytest.raises(FolderError, match="expected a relative path below the folder"):
        Manifest.parse(json.dumps(plain), "manifest.json")
