"""The valid small files that are changed: made once, kept in a folder."""

import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROWS = {"train": 24, "validation": 12, "test": 12}


def made(base: Path, name: str) -> Path:
    """Return a folder of valid files; make it if it is not there: ``raw``, ``out``, ``scene``."""
    target = base / name
    if not target.exists():
        part = base / f"{name}.{os.getpid()}"
        {"raw": _raw, "raw25": _raw, "out": _built, "shards": _built, "model": _model, "scene": _scene}[name](
            base, part
        )
        part.rename(target)
    return target


def _raw(base: Path, folder: Path) -> None:
    from so2sat_hf.synthetic import write_raw

    generation = "2025" if "raw25" in folder.name else "2026"
    write_raw(folder, **ROWS, seed=5, geo=generation)  # type: ignore[arg-type]


def _built(base: Path, folder: Path) -> None:
    from so2sat_hf.assemble import extras
    from so2sat_hf.convert.build import build
    from so2sat_hf.convert.options import BuildOptions
    from so2sat_hf.convert.raw import open_raw

    raw = open_raw(made(base, "raw"))
    kind = "arrow" if "shards" in folder.name else "parquet"
    build(
        raw, folder, BuildOptions(file_format=kind), extras=extras(raw, companions=("index", "mini")), jobs=1
    )


def _model(base: Path, folder: Path) -> None:
    """A model of the test set's own size, with its processor and the record of its training."""
    from tiny_models import tiny

    from so2sat_hf import facts
    from so2sat_hf.training.run import write_record
    from so2sat_hf.vision.catalogue import preset
    from so2sat_hf.vision.processor import image_processor

    eats = preset("s2", made(base, "out"))
    model = tiny("vit", image_size=32, patch_size=8, num_channels=len(eats.slots))
    names = facts.class_names()
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: number for number, name in enumerate(names)}
    model.save_pretrained(folder)
    image_processor(eats).save_pretrained(folder)
    model_of = {"base": "vit-tiny-8", "scratch": True, "architecture": type(model).__name__, "parameters": 7}
    data = {
        "name": "out", "digest": "0" * 16, "format": "1.0", "version": "culture_10",
        "rows": 48, "splits": ROWS,
    }  # fmt: skip
    record = {
        "name": "model", "model": model_of, "data": data, "preset": eats.to_dict(), "arguments": {"seed": 1},
        "best": None, "seconds": 60.0, "patches_per_second": 10.0, "device": "2 CPU cores",
        "libraries": {"torch": "2"}, "so2sat_hf": "0.1.0",
    }  # fmt: skip
    write_record(folder, record)


def _scene(base: Path, folder: Path) -> None:
    """A GeoTIFF of 128 x 128 pixels and SAFE folders of both levels."""
    from scenes import mosaic, write_safe, write_scene

    folder.mkdir()
    sen2 = true_rows(base)["sen2"][:16]
    write_scene(
        folder / "scene.tif", mosaic(sen2, 4), tiled=True, blockxsize=64, blockysize=64, compress="deflate"
    )
    coarse = np.kron(np.round(sen2[:, :, ::2, ::2], 4), np.ones((1, 1, 2, 2), np.float32)).astype(np.float32)
    for level in ("L1C", "L2A"):
        write_safe(folder, mosaic(coarse, 4), level=level, offset=-1000)


@cache
def true_rows(base: Path) -> dict[str, Any]:
    """Id and columns of every patch, read from the HDF5 files with nothing of ours."""
    import h5py

    found: dict[str, Any] = {name: [] for name in ("id", "sen1", "sen2", "label")}
    for stem in ("training", "validation", "testing"):
        with h5py.File(made(base, "raw") / f"{stem}.h5") as file:
            found["sen1"].append(file["sen1"][:].transpose(0, 3, 1, 2).astype(np.float32))
            found["sen2"].append(file["sen2"][:].transpose(0, 3, 1, 2).astype(np.float32))
            found["label"].append(file["label"][:].argmax(axis=1))
            found["id"] += [f"{stem}/{row:06d}" for row in range(len(file["label"]))]
    arrays = {name: np.concatenate(found[name]) for name in ("sen1", "sen2", "label")}
    return {"id": found["id"], "row": {name: row for row, name in enumerate(found["id"])}, **arrays}


def linked(source: Path, target: Path) -> Path:
    """Copy a folder without its content: files are hard links, to be replaced and never written into."""
    shutil.copytree(source, target, copy_function=os.link)
    return target


def replaced(path: Path, content: bytes) -> None:
    """Put another file in the place of a hard link."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
