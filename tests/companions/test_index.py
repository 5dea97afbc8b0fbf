"""The rows of the index: true to the patches."""

import io
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from index_rows import PLAIN, SHARDS, made_patches, written

from so2sat_hf import facts
from so2sat_hf.companions.footprint import bounds_of, corners_of, to_wkb
from so2sat_hf.companions.index import RASTER, VERSIONS, features, plan_index, rows_before, splits_of_cell
from so2sat_hf.convert.cells import Cell, splits_of
from so2sat_hf.convert.patches import COLUMNS, PatchBlock
from so2sat_hf.errors import So2SatError

# ---- rows


def test_every_row_is_that_of_its_patch() -> None:
    """Columns of the data files, means of all bands and numbers of others belong to the patch in that row."""
    raster = np.arange(4 * 3000, dtype=np.int32).reshape(-1, 4)
    encoder = plan_index(SHARDS, columns=COLUMNS, first_number=30, raster=raster)
    patches = made_patches(range(5, 2014))

    table = pa.concat_tables(
        [encoder.table(made_patches(range(5, 6)), 0), encoder.table(made_patches(range(6, 2014)), 1)]
    )

    assert table.column_names == list(features(COLUMNS, with_raster=True))
    assert table["id"].to_pylist() == patches.ids
    assert np.array_equal(table["label"], patches.label)
    assert table["city"].to_pylist() == ["munich"] * 2009
    for name in ("epsg", "x_ul", "y_ul", "longitude", "latitude"):
        assert np.array_equal(table[name], getattr(patches.geo, name))
    assert table["m_so2sat"].to_pylist() == [f"id_{30 + row:04d}" for row in range(5, 2014)]
    assert table["m_so2sat"][0].as_py() == "id_0035"
    assert np.array_equal(np.stack([table[name] for name in RASTER], axis=1), raster[5:2014])
    corners = corners_of(patches.geo)
    assert table["geometry"].to_pylist() == [record.tobytes() for record in to_wkb(corners)]
    assert [list(box.values()) for box in table["bbox"].to_pylist()] == bounds_of(corners).tolist()


def test_means_are_those_of_the_stored_values() -> None:
    """Each band by its own name, summed in float64 over 32 x 32 values and rounded once."""
    patches = made_patches(range(7))
    table = plan_index(SHARDS, columns=COLUMNS).table(patches, 0)

    for sensor, pixels in (("sen1", patches.sen1), ("sen2", patches.sen2)):
        for band in facts.bands(sensor):
            column = table[f"mean_{band.name}"]
            exact = pixels[:, band.index].astype(np.float64).sum(axis=(1, 2)) / 1024
            assert column.type == pa.float32()
            assert np.array_equal(column, exact.astype(np.float32))


def test_file_and_row_point_to_the_pixels() -> None:
    """Over the ends of files and cells; row groups of a data file have 1,024 rows."""
    table = plan_index(SHARDS, columns=PLAIN).table(made_patches(range(1000, 2009), pixels=False), 1000)

    expected = [
        (path, row, row // 1024) for _, shards in SHARDS for path, rows in shards for row in range(rows)
    ]
    found = zip(*(table[name].to_pylist() for name in ("file", "row", "row_group")), strict=True)
    assert list(found) == expected[1000:]
    assert [table[name].type for name in ("row", "row_group")] == [pa.int32(), pa.int32()]


def test_versions_are_those_of_the_cell() -> None:
    """Null where a version leaves the patch out."""
    table = plan_index(SHARDS, columns=PLAIN).table(made_patches(range(2009), pixels=False), 0)

    for row, splits in [
        (1999, ["validation", "validation", "test", "train", "test"]),
        (2000, ["validation", "validation", "test", "test", None]),
    ]:
        assert [table[version][row].as_py() for version in VERSIONS] == splits
    assert table["block"].null_count == 9


def test_versions_agree_with_the_configs() -> None:
    """A cell is in a split of a version exactly where the config of that version lists it."""
    cells = [Cell(*key) for key in itertools.product(("train", "validation", "test"), "10x", "10x")]

    listed: dict[Cell, dict[str, str | None]] = {cell: dict.fromkeys(VERSIONS) for cell in cells}
    for version, splits in splits_of(cells).items():
        for split, members in splits.items():
            for cell in members:
                listed[cell][version] = split
    assert {cell: splits_of_cell(cell) for cell in cells} == listed
    assert splits_of_cell(Cell("test"))["random"] is None


def test_a_split_of_version_3_alone_knows_itself_only() -> None:
    """Nobody knows which rows of the other versions its patches are."""
    shards = [(Cell("train"), [("data/train/00000-of-00001.parquet", 3)])]
    encoder = plan_index(shards, columns=PLAIN, layout="random", first_number=0)
    table = encoder.table(made_patches(range(3), pixels=False), 0)

    assert table["random"].to_pylist() == ["train"] * 3
    for name in ("v1", "culture_10", "culture_10_v3", "block", "m_so2sat"):
        assert table[name].to_pylist() == [None] * 3


def test_running_numbers_start_where_the_split_before_ends() -> None:
    """In the order of the published files; unknown where one of those before is missing."""
    rows = {"train": 352_366, "validation": 24_119, "test": 24_188}

    assert [rows_before(split, rows) for split in rows] == [0, 352_366, 376_485]
    assert rows_before("test", {"train": 10, "test": 5}) is None
    assert rows_before("validation", {"validation": 5}) is None


@pytest.mark.parametrize("columns", [("id", "sen2", "label"), ("id", "sen1", "sen2", "label")])
def test_without_geolocation_the_file_is_plain_parquet(columns: tuple[str, ...]) -> None:
    """No position, no footprint, no ``geo``; means of the sensors that are there."""
    encoder = plan_index(SHARDS, columns=columns)
    content = written(encoder, [encoder.table(made_patches(range(9)), 0)])

    schema = pq.read_schema(io.BytesIO(content))
    assert not {"city", "epsg", "geometry", "bbox", *RASTER} & set(schema.names)
    assert ("mean_VH_real" in schema.names, "mean_B12" in schema.names) == ("sen1" in columns, True)
    assert b"geo" not in schema.metadata
    assert encoder.columns == columns


def test_a_block_that_lacks_a_column_is_refused() -> None:
    """Positions or pixels: the message says which."""
    encoder = plan_index(SHARDS, columns=COLUMNS)
    patches = made_patches(range(3), pixels=False)

    with pytest.raises(So2SatError, match="means of sen1: not in the source"):
        encoder.table(patches, 0)
    with pytest.raises(So2SatError, match="column city: not in the source"):
        encoder.table(PatchBlock(patches.ids, patches.label), 0)


def test_more_rows_than_the_data_files_have_are_refused() -> None:
    """A row that no data file holds has no place in the index."""
    encoder = plan_index(SHARDS, columns=PLAIN)

    with pytest.raises(So2SatError, match="2,010 rows; expected 2,009"):
        encoder.table(made_patches(range(2), pixels=False), 2008)


def test_a_table_survives_its_block() -> None:
    """The source may overwrite a block while its rows wait for their row group."""
    encoder = plan_index(SHARDS, columns=COLUMNS)
    patches = made_patches(range(4))
    table = encoder.table(patches, 0)
    before = table.to_pylist()

    for array in (patches.label, patches.sen1, patches.sen2, patches.geo.epsg, patches.geo.x_ul):
        array[:] = 0
    for array in (patches.geo.y_ul, patches.geo.longitude, patches.geo.latitude):
        array[:] = 0

    assert table.to_pylist() == before
