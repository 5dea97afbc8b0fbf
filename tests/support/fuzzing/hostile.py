"""Files made to hang, to fill the memory or the disk, to run code, or to lead elsewhere."""

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random

import h5py

from fuzzing.base import linked, made, replaced
from fuzzing.hdf5_files import read_images
from fuzzing.scenes_and_models import read_tile
from fuzzing.tables import by_id, verified
from so2sat_hf.errors import VerificationError

Bomb = Callable[[Path, Path], object]
DEPTH = 100_000
SHAPES = {"sen1": (32, 32, 8), "sen2": (32, 32, 10), "label": (17,)}


def rows_without_end(base: Path, folder: Path) -> None:
    """A small HDF5 file that claims 10**12 patches."""
    with h5py.File(folder / "training.h5", "w") as file:
        for key, shape in SHAPES.items():
            file.create_dataset(key, (10**12, *shape), "<f8", chunks=(1, *shape))
    read_images(folder)


def positions_without_end(base: Path, folder: Path) -> None:
    """The same with positions."""
    from so2sat_hf.convert.inspect import describe

    with h5py.File(folder / "training_geo.h5", "w") as file:
        file.create_dataset("tfw", (10**12, 6), "<f8", chunks=(1, 6))
        file.create_dataset("epsg", (10**12, 1), "<i4", chunks=(1, 1))
    describe(folder / "training_geo.h5")


def large_chunk(base: Path, folder: Path) -> None:
    """HDF5 whose one chunk unpacks to 655 MB."""
    with h5py.File(folder / "training.h5", "w") as file:
        for key, shape in SHAPES.items():
            data = file.create_dataset(
                key, (10_000, *shape), "<f8", chunks=(10_000, *shape), compression="gzip"
            )
            data.id.write_direct_chunk((0,) * data.ndim, gzip.compress(bytes(10)) + bytes(1_000_000))
    read_images(folder)


def archive_that_claims(base: Path, folder: Path) -> None:
    """A gzip file whose HDF5 header says 10**15 bytes."""
    head = bytearray((made(base, "raw") / "training.h5").read_bytes()[:4096])
    struct.pack_into("<Q", head, 40, 10**15)
    (folder / "training.h5.gz").write_bytes(gzip.compress(bytes(head)))
    read_images(folder)


def archive_that_grows(base: Path, folder: Path) -> None:
    """A gzip file of 4 MB that unpacks to 4 GB, though its header says less."""
    head = (made(base, "raw") / "training.h5").read_bytes()
    zeros = gzip.compress(bytes(64 << 20), 9)
    (folder / "training.h5.gz").write_bytes(gzip.compress(head) + zeros * 64)
    read_images(folder)


def footer_without_end(base: Path, folder: Path) -> None:
    """A Parquet file whose footer claims 2 GB."""
    copy = linked(made(base, "out"), folder / "out")
    (path,) = (copy / "data" / "test").iterdir()
    content = path.read_bytes()
    replaced(path, content[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1")
    by_id(copy)


def many_rows(base: Path, folder: Path) -> None:
    """A manifest that claims 10**12 patches, added up correctly."""
    copy, plain = _with_manifest(base, folder)
    cell = plain["cells"]["test"]
    more = 10**12 - cell["rows"]
    cell["rows"] += more
    cell["class_counts"][0] += more
    next(shard for shard in plain["shards"] if shard["cell"] == "test")["rows"] += more
    replaced(copy / "manifest.json", json.dumps(plain).encode())
    by_id(copy)


def paths_that_lead_out(base: Path, folder: Path) -> None:
    """A manifest that lists a file outside of its folder."""
    copy, plain = _with_manifest(base, folder)
    plain["shards"][0]["path"] = "../../../etc/passwd"
    replaced(copy / "manifest.json", json.dumps(plain).encode())
    verified(copy)


def id_that_leads_out(base: Path, folder: Path) -> None:
    """An id with a path in it."""
    from so2sat_hf.load.by_id import patches

    patches(["../../etc/000001"], made(base, "out"))


def _with_manifest(base: Path, folder: Path) -> tuple[Path, dict]:
    copy = linked(made(base, "out"), folder / "out")
    return copy, json.loads((copy / "manifest.json").read_text())


def deep_manifest(base: Path, folder: Path) -> None:
    """JSON of 100,000 lists in each other."""
    copy, _ = _with_manifest(base, folder)
    replaced(copy / "manifest.json", b"[" * DEPTH + b"]" * DEPTH)
    verified(copy)


def deep_statistics(base: Path, folder: Path) -> None:
    """The same in the statistics."""
    from so2sat_hf.vision.catalogue import preset

    copy, _ = _with_manifest(base, folder)
    replaced(copy / "statistics.json", b'{"bands": ' + b"[" * DEPTH + b"]" * DEPTH + b"}")
    preset("s2", copy)


def deep_model(base: Path, folder: Path) -> None:
    """The same in the configuration of a model."""
    _open_model(base, folder, "config.json", b'{"id2label": ' + b"[" * DEPTH + b"]" * DEPTH + b"}")


def deep_processor(base: Path, folder: Path) -> None:
    """The same in its processor."""
    _open_model(base, folder, "preprocessor_config.json", b'{"slots": ' + b"[" * DEPTH + b"]" * DEPTH + b"}")


def layers_without_end(base: Path, folder: Path) -> None:
    """A model of 10**9 layers."""
    plain = json.loads((made(base, "model") / "config.json").read_text())
    _open_model(base, folder, "config.json", json.dumps(plain | {"num_hidden_layers": 10**9}).encode())


def _open_model(base: Path, folder: Path, name: str, content: bytes) -> None:
    from so2sat_hf.training.classifier import open_classifier

    copy = linked(made(base, "model"), folder / "model")
    replaced(copy / name, content)
    open_classifier(str(copy))


def deep_record(base: Path, folder: Path) -> None:
    """The same in the record of a training."""
    from so2sat_hf.training.run import RECORD, write_card

    (folder / RECORD).write_bytes(b"[" * DEPTH + b"]" * DEPTH)
    write_card(folder)


def deep_preset(base: Path, folder: Path) -> None:
    """TOML of 100,000 lists in each other."""
    from so2sat_hf.vision.catalogue import preset

    (folder / "mine.toml").write_text("size = 224\nslots = " + "[" * DEPTH + "]" * DEPTH)
    preset(folder / "mine.toml")


def _readme(base: Path, folder: Path, head: str) -> None:
    copy, _ = _with_manifest(base, folder)
    page = (copy / "README.md").read_text().split("---\n", 2)[2]
    replaced(copy / "README.md", f"---\n{head}---\n{page}".encode())
    problems = verified(copy)
    if problems:
        raise VerificationError("README.md", found=problems[0], expected="the README of the manifest")


def laughs(base: Path, folder: Path) -> None:
    """YAML that stands for 10**30 words."""
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    _readme(base, folder, "\n".join([*lines, "configs: *a29", ""]))


def python_in_yaml(base: Path, folder: Path) -> None:
    """YAML that wants to run a command."""
    mark = folder / "was-here"
    try:
        _readme(base, folder, f"configs: !!python/object/apply:os.mkdir ['{mark}']\n")
    finally:
        assert not mark.exists(), "code in a README was run"


def deep_yaml(base: Path, folder: Path) -> None:
    """YAML of many lists in each other."""
    _readme(base, folder, "configs: " + "[" * 20_000 + "]" * 20_000 + "\n")


def long_yaml(base: Path, folder: Path) -> None:
    """YAML of 30 MB."""
    _readme(base, folder, "configs: [" + "a, " * 10_000_000 + "]\n")


def huge_scene(base: Path, folder: Path) -> None:
    """A GeoTIFF of 10**6 x 10**6 pixels without any data."""
    import rasterio
    from scenes import NAMES

    with rasterio.open(
        folder / "scene.tif", "w", driver="GTiff", count=10, width=10**6, height=10**6, dtype="uint8",
        crs="EPSG:32632", transform=rasterio.Affine(10, 0, 6e5, 0, -10, 5.3e6), SPARSE_OK="TRUE",
        BIGTIFF="YES", tiled=True, blockxsize=8192, blockysize=8192,
    ) as file:  # fmt: skip
        for number, name in enumerate(NAMES, 1):
            file.set_band_description(number, name)
            file.set_band_unit(number, "reflectance")
    read_tile(folder / "scene.tif")


def laughing_xml(base: Path, folder: Path) -> None:
    """Metadata of a SAFE folder that stand for 10**9 words."""
    safe = linked(next(made(base, "scene").glob("*.SAFE")), folder / "scene.SAFE")
    metadata = next(safe.glob("MTD_*.xml"))
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    replaced(
        metadata, f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "lol">{entities}]><x>&a9;</x>'.encode()
    )
    read_tile(safe)


def link_in_out(base: Path, folder: Path) -> None:
    """A folder to build into, whose data folder leads into another dataset."""
    from so2sat_hf.convert.build import build
    from so2sat_hf.convert.raw import open_raw

    other = linked(made(base, "out"), folder / "other")
    before = sorted(path.name for path in other.rglob("*"))
    (folder / "out").mkdir()
    (folder / "out" / "data").symlink_to(other / "data")
    (folder / "out" / "manifest.json").write_bytes((other / "manifest.json").read_bytes())
    try:
        build(open_raw(made(base, "raw")), folder / "out", jobs=1)
    finally:
        assert sorted(path.name for path in other.rglob("*")) == before, "files of another dataset are gone"


def shape_of_pixels(base: Path, folder: Path) -> None:
    """A preset for images of 10**6 x 10**6 pixels."""
    from so2sat_hf.vision.catalogue import preset

    (folder / "mine.toml").write_text('size = 1000000\nslots = ["B02"]\n')
    preset(folder / "mine.toml")


BOMBS: dict[str, Bomb] = {
    each.__name__: each
    for each in (
        *(rows_without_end, positions_without_end, large_chunk, archive_that_claims, archive_that_grows),
        *(footer_without_end, many_rows, paths_that_lead_out, id_that_leads_out, deep_manifest),
        *(deep_statistics, deep_model, deep_processor, deep_record, deep_preset, layers_without_end),
        *(
            laughs,
            python_in_yaml,
            deep_yaml,
            long_yaml,
            huge_scene,
            laughing_xml,
            link_in_out,
            shape_of_pixels,
        ),
    )
}


def named(name: str, base: Path) -> Callable[[Random, Path], None]:
    """Return what tries one of them; the same each time."""
    for each in ("raw", "out", "model", "scene"):
        made(base, each)
    return lambda rng, folder: BOMBS[name](base, folder)
