"""Small text files beside a GeoTIFF: names of classes, and the world file."""

from collections.abc import Mapping
from pathlib import Path

from so2sat_hf.convert.writing import write_text
from so2sat_hf.maps.rasters import Grid


def write_category_names(path: Path, names: Mapping[int, str]) -> None:
    """Write the names of classes beside a GeoTIFF, where GDAL and QGIS look for them (``.aux.xml``)."""
    listed = "".join(f"<Category>{names.get(value, '')}</Category>" for value in range(max(names) + 1))
    write_text(
        path.with_name(f"{path.name}.aux.xml"),
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{listed}</CategoryNames></PAMRasterBand>'
        "</PAMDataset>\n",
    )


def write_world_file(path: Path, grid: Grid) -> None:
    """Write the ``.tfw`` beside a GeoTIFF; its last two numbers are the centre of the first pixel."""
    half = grid.pixel / 2
    numbers = (grid.pixel, 0.0, 0.0, -grid.pixel, grid.left + half, grid.top - half)
    write_text(path.with_suffix(".tfw"), "".join(f"{number!r}\n" for number in numbers), durable=False)
