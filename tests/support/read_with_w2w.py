"""Let w2w check a map, as it does before it makes input of WRF of it.

python read_with_w2w.py FOLDER MAP.tif
"""

import sys
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from w2w import w2w


def main():
    folder, name = Path(sys.argv[1]), sys.argv[2]
    with rasterio.open(folder / name) as file:
        west, south, east, north = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    lon, lat = np.meshgrid(np.linspace(0.4, 0.6, 3), np.linspace(0.4, 0.6, 3))
    domain = {
        "XLONG_M": (("y", "x"), west + (east - west) * lon),
        "XLAT_M": (("y", "x"), south + (north - south) * lat),
    }
    xr.Dataset(domain).to_netcdf(folder / "geo_em.d04.nc", engine="scipy")
    clean = folder / "clean.tif"
    files = {"src_file": folder / name, "src_file_clean": clean, "dst_file": folder / "geo_em.d04.nc"}
    info = w2w.Info(**{field: str(files.get(field, "")) for field in w2w.Info._fields})
    w2w.check_lcz_integrity(info, 0)
    with rasterio.open(clean) as file:
        print("classes", *np.unique(file.read(1)))


if __name__ == "__main__":
    main()
