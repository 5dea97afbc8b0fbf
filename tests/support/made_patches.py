"""Patches and files that tests of pictures and choices are made on."""

import h5py
import numpy as np

from so2sat_hf import facts
from so2sat_hf.convert.patches import GeoBlock, PatchBlock


def patches(labels, *, sen1=True, sen2=True, cities=None, **reflectance):
    """Make a block: every sen2 band 0 but those named, every sen1 band 1e-9."""
    num_rows = len(labels)
    optical = np.zeros((num_rows, 10, 32, 32), np.float32)
    for name, value in reflectance.items():
        optical[:, facts.band(name).index] = value
    geo = None
    if cities:
        zeros = np.zeros(num_rows)
        geo = GeoBlock(cities, zeros.astype(np.int32), zeros, zeros, zeros, zeros)
    return PatchBlock(
        ids=[f"training/{row:06d}" for row in range(num_rows)],
        label=np.array(labels, np.int64),
        sen1=np.full((num_rows, 8, 32, 32), 1e-9, np.float32) if sen1 else None,
        sen2=optical if sen2 else None,
        geo=geo,
    )


class Listed:
    """A source of labels and cities that counts the pixels it is asked for."""

    def __init__(self, labels, cities=None, split="train"):
        self.block = patches(labels, cities=cities)
        self.num_rows = {split: len(labels)}
        self.columns = ("id", "sen1", "sen2", "label") + (("city",) if cities else ())
        self.rows_with_pixels = 0

    def blocks(self, split, wanted, *, columns, size):
        for first in range(0, len(wanted), size):
            chunk = wanted[first : first + size]
            rows = slice(chunk[0], chunk[-1] + 1)
            pixels = "sen2" in columns
            self.rows_with_pixels += len(chunk) * pixels
            geo = self.block.geo
            yield PatchBlock(
                ids=self.block.ids[rows],
                label=self.block.label[rows],
                sen1=self.block.sen1[rows] if pixels else None,
                sen2=self.block.sen2[rows] if pixels else None,
                geo=patches([0] * len(geo.city[rows]), cities=geo.city[rows]).geo
                if geo and "city" in columns
                else None,
            )


def write_h5(path, labels):
    """Write an image file of the published layout; the row number is in the pixels."""
    rows = np.arange(len(labels)).reshape(-1, 1, 1, 1)
    with h5py.File(path, "w") as file:
        file["sen1"] = np.ones((len(labels), 32, 32, 8)) * (rows + 1)
        file["sen2"] = (np.ones((len(labels), 32, 32, 10)) * (rows % 40) * 100) / 10_000
        file["label"] = np.eye(17)[labels]


def write_geo(path, num_rows):
    """Write a geo file of 2026: patches near Munich and, every third one, near Berlin."""
    berlin = np.arange(num_rows) % 3 == 0
    east, north = np.where(berlin, 390_000.0, 690_000.0), np.where(berlin, 5_820_000.0, 5_335_000.0)
    tfw = np.stack(
        [np.full(num_rows, 10.0), *[np.zeros(num_rows)] * 2, np.full(num_rows, -10.0), east, north], 1
    )
    with h5py.File(path, "w") as file:
        file["tfw"] = tfw
        file["epsg"] = np.where(berlin, 32633, 32632).astype(np.int32)
        file["city"] = np.where(berlin, "berlin", "munich").astype("S10")
