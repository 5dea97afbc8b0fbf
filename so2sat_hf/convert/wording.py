"""What every page about a dataset says of its values and columns. Pure."""

from collections.abc import Mapping, Sequence

from so2sat_hf import facts
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, PATCH_SIZE
from so2sat_hf.convert.table import NUM_BANDS


def exactness(rounding: Mapping[str, float]) -> str:
    """Say how near the stored values are to the published ones.

    Args:
        rounding: column -> largest |stored - published|, as a manifest has it.
    """
    if not rounding:
        return "Every value was checked against the published float64 and can be had back exactly."
    errors = ", ".join(f"{error:.3g} in `{column}`" for column, error in rounding.items())
    return f"Some values were rounded, by at most {errors}."


def column_meanings(columns: Sequence[str], *, sen2_dtype: str = "float32") -> list[tuple[str, str, str]]:
    """Return name, type, and unit and meaning of the columns of the data files, for a table.

    Args:
        columns: out of :data:`~so2sat_hf.convert.patches.COLUMNS`.
        sen2_dtype: ``float32`` or ``uint16``.
    """
    size = f"{PATCH_SIZE}, {PATCH_SIZE}"
    bands = {sensor: " ".join(band.name for band in facts.bands(sensor)) for sensor in NUM_BANDS}
    unit = "reflectance" if sen2_dtype == "float32" else f"reflectance x {DN_PER_REFLECTANCE:,}"
    known = {
        "id": ("string", "HDF5 file and row, from 0: `training/000123`"),
        "sen1": (f"({NUM_BANDS['sen1']}, {size}) float32", f"linear: `{bands['sen1']}`"),
        "sen2": (f"({NUM_BANDS['sen2']}, {size}) {sen2_dtype}", f"{unit}: `{bands['sen2']}`"),
        "label": ("ClassLabel", "0 = LCZ 1 … 9 = LCZ 10, 10 = LCZ A … 16 = LCZ G"),
        "city": ("string", "key of the publisher: `munich`"),
        "epsg": ("int32", "EPSG code of the UTM zone"),
        "x_ul": ("float64", "UTM metres eastwards of the upper-left **corner** of the patch"),
        "y_ul": ("float64", "UTM metres northwards of the upper-left **corner** of the patch"),
        "longitude": ("float64", "degrees east (WGS 84) of the **centre** of the patch"),
        "latitude": ("float64", "degrees north (WGS 84) of the **centre** of the patch"),
    }
    return [(name, *known[name]) for name in columns]
