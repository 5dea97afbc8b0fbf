"""HDF5 files of patches and of positions, plain and gzipped."""

import gzip
from collections.abc import Callable
from pathlib import Path
from random import Random

import h5py
import numpy as np

from fuzzing.base import made
from fuzzing.mutate import damaged

Attempt = Callable[[Random, Path], None]
FEW = 5


def _few_rows(path: Path, out: Path, *, chunks: bool) -> bytes:
    """Return a file of the first rows of another, compressed in chunks if wanted."""
    with h5py.File(path) as file, h5py.File(out, "w") as small:
        for key in file:
            options = {"chunks": (2, *file[key].shape[1:]), "compression": "gzip"} if chunks else {}
            small.create_dataset(key, data=file[key][:FEW], **options)
    return out.read_bytes()


def images(base: Path) -> Attempt:
    """Image files: changed bytes, or other datasets in them."""
    raw, small = made(base, "raw") / "training.h5", base / "small.h5"
    files = [_few_rows(raw, small, chunks=chunks) for chunks in (False, True)]

    def attempt(rng: Random, folder: Path) -> None:
        path = folder / "training.h5"
        path.write_bytes(rng.choice(files))
        if rng.random() < 0.6:
            path.write_bytes(damaged(path.read_bytes(), rng))
        else:
            restructured(path, rng, {"sen1": (FEW, 32, 32, 8), "sen2": (FEW, 32, 32, 10), "label": (FEW, 17)})
        read_images(folder)

    return attempt


def read_images(folder: Path) -> None:
    """Read every patch as a build does, and compare them with what h5py says is there."""
    from so2sat_hf.convert.inspect import describe
    from so2sat_hf.convert.raw import open_raw

    source = open_raw(folder)
    blocks = list(source.blocks("train", range(source.num_rows["train"]), columns=("sen1", "sen2"), size=4))
    describe(source.files[0].path)
    with h5py.File(source.files[0].path) as file:
        for name in ("sen1", "sen2"):
            found = np.concatenate([getattr(block, name) for block in blocks])
            there = file[name][:].transpose(0, 3, 1, 2)
            assert np.array_equal(found, there.astype(np.float32)), f"other {name} than in the file"
        label = np.concatenate([block.label for block in blocks])
        assert np.array_equal(np.eye(17)[label], file["label"][:]), "other labels than in the file"


ODD_DTYPES = ("<f4", ">f8", "<i8", "<u1", "S10", "<c16", "<f2", "bool", "object")


def restructured(path: Path, rng: Random, shapes: dict[str, tuple[int, ...]]) -> None:
    """Put something else in the place of a dataset."""
    key = rng.choice(list(shapes))
    shape = list(shapes[key])
    with h5py.File(path, "a") as file:
        content = file[key][:] if isinstance(file.get(key), h5py.Dataset) else np.zeros(shape)
        del file[key]
        kind = rng.randrange(9)
        if kind == 0:
            shape[rng.randrange(len(shape))] = rng.choice((0, 1, 7, 33, 10**6, 10**12))
            file.create_dataset(key, shape, content.dtype, chunks=True)
        elif kind == 1:
            dtype = rng.choice(ODD_DTYPES)
            file.create_dataset(key, shape, h5py.string_dtype() if dtype == "object" else dtype)
        elif kind == 2:
            file[key] = content.reshape(-1)[: rng.choice((0, 1, 100))]
        elif kind == 3:
            file.create_group(key)
        elif kind == 4:
            target = rng.choice(("/etc/hostname", path.name, "nowhere.h5"))
            link = (
                h5py.ExternalLink(target, key)
                if rng.random() < 0.5
                else h5py.SoftLink(f"/{rng.choice((key, 'x'))}")
            )
            file[key] = link
        elif kind == 5:
            file[key] = h5py.Empty(content.dtype)
        elif kind == 6:
            file[key] = np.float64(rng.choice((0.0, np.nan)))
        elif kind == 7:
            odd = content.astype(np.float64) if content.dtype.kind in "fiu" else np.zeros(shape)
            odd.reshape(-1)[rng.randrange(odd.size)] = rng.choice((np.nan, np.inf, -1.0, 7.0, 1e-9, 1e300))
            file[key] = odd
        else:
            file[key] = content[: rng.choice((0, 1, len(content) - 1))]


def positions(base: Path) -> Attempt:
    """Geo files of both generations."""
    small = base / "small_geo.h5"
    files = [
        _few_rows(made(base, name) / "training_geo.h5", small, chunks=False) for name in ("raw", "raw25")
    ]

    def attempt(rng: Random, folder: Path) -> None:
        from so2sat_hf.convert import geo_file

        path = folder / "training_geo.h5"
        path.write_bytes(rng.choice(files))
        if rng.random() < 0.6:
            path.write_bytes(damaged(path.read_bytes(), rng))
        else:
            with h5py.File(path) as file:
                shapes = {key: file[key].shape for key in file}
            restructured(path, rng, shapes)
        block = geo_file.locate_all(path, FEW)
        geo_file.geo_generation(path, FEW)
        geo_file.read_raster(path, FEW)
        geo_file.count_geo_rows(path)
        numbers = np.stack([block.x_ul, block.y_ul, block.longitude, block.latitude])
        assert np.isfinite(numbers).all(), "positions that are no numbers"
        assert all(block.city), "a patch without city"

    return attempt


def gzipped(base: Path) -> Attempt:
    """``.h5.gz``, with changed bytes inside or outside."""
    content = _few_rows(made(base, "raw") / "training.h5", base / "small.h5", chunks=True)
    packed = gzip.compress(content, 1)

    def attempt(rng: Random, folder: Path) -> None:
        from so2sat_hf.convert.unpack import unpack

        path = folder / "training.h5.gz"
        if rng.random() < 0.6:
            path.write_bytes(damaged(packed, rng))
            found = unpack(path, folder / "work").read_bytes()
            assert found == content, "other bytes than were packed"
        else:
            path.write_bytes(gzip.compress(damaged(content, rng), 1))
            read_images(folder)

    return attempt
