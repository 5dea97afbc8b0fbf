"""Sentinel-2 scenes made of generated patches, as GeoTIFF and as SAFE folders."""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from so2sat_hf import facts

CORNER = (690_000.0, 5_340_000.0)
"""Metres of the upper-left corner, UTM 32N, near Munich."""

TWENTY = ("B05", "B06", "B07", "B8A", "B11", "B12")
NAMES = [band.name for band in facts.bands("sen2")]


def mosaic(sen2: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """Lay patches (n, 10, 32, 32) side by side, so many in a row: (10, height, width)."""
    rows = len(sen2) // columns
    laid = sen2[: rows * columns].reshape(rows, columns, *sen2.shape[1:])
    return laid.transpose(2, 0, 3, 1, 4).reshape(sen2.shape[1], rows * 32, columns * 32)


def write_scene(
    path: Path,
    pixels: NDArray[np.generic],
    *,
    corner: tuple[float, float] = CORNER,
    epsg: int = 32632,
    unit: str = "reflectance",
    names: list[str] | None = None,
    **options: object,
) -> Path:
    """Write a GeoTIFF of ten bands."""
    with rasterio.open(
        path, "w", driver="GTiff", count=len(pixels), height=pixels.shape[1], width=pixels.shape[2],
        dtype=pixels.dtype.name, crs=f"EPSG:{epsg}",
        transform=rasterio.Affine(10, 0, corner[0], 0, -10, corner[1]), **options,
    ) as file:  # fmt: skip
        file.write(pixels)
        for number, name in enumerate(NAMES if names is None else names, 1):
            file.set_band_description(number, name)
            file.set_band_unit(number, unit)
    return path


def write_safe(folder: Path, pixels: NDArray[np.float32], *, level: str = "L1C", offset: int = 0) -> Path:
    """Write a SAFE folder: 10 and 20 m bands as they are, digital numbers with an offset in the metadata.

    Pixels of 20 m bands must be the same in blocks of 2 x 2.
    """
    base = folder / f"S2A_MSI{level}_20170705T101021_N0205_R022_T32UPU.SAFE"
    data = base / "GRANULE" / "L1C_T32UPU_A010638_20170705" / "IMG_DATA"
    data.mkdir(parents=True)
    for index, name in enumerate(NAMES):
        size = 20 if name in TWENTY else 10
        numbers = np.rint(pixels[index] * 10_000).astype(np.int32) - offset
        numbers = numbers[:: size // 10, :: size // 10].astype(np.uint16)
        place = data
        if level == "L2A":
            place = data / f"R{size}m"
            place.mkdir(exist_ok=True)
        suffix = f"_{size}m" if level == "L2A" else ""
        with rasterio.open(
            place / f"T32UPU_20170705T101021_{name}{suffix}.jp2", "w", driver="JP2OpenJPEG", count=1,
            height=numbers.shape[0], width=numbers.shape[1], dtype="uint16", crs="EPSG:32632",
            transform=rasterio.Affine(size, 0, CORNER[0], 0, -size, CORNER[1]),
            QUALITY="100", REVERSIBLE="YES",
        ) as file:  # fmt: skip
            file.write(numbers, 1)
    word = "RADIO_ADD_OFFSET" if level == "L1C" else "BOA_ADD_OFFSET"
    quantification = "QUANTIFICATION_VALUE" if level == "L1C" else "BOA_QUANTIFICATION_VALUE"
    offsets = "".join(f'<{word} band_id="{number}">{offset}</{word}>' for number in range(13))
    (base / f"MTD_MSI{level}.xml").write_text(
        f'<?xml version="1.0"?><n1:Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD">'
        f"<{quantification} unit='none'>10000</{quantification}>{offsets if offset else ''}</n1:Product>"
    )
    return base
