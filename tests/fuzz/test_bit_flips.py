"""One bit of a data file turned over: readers say so, or hand out the true rows; verification always does."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import PatchBlock
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.convert.verify import verify
from so2sat_hf.errors import SourceError
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.stream import PatchStream

Flip = Callable[[int], None]


@pytest.fixture(params=["parquet", "arrow"])
def out(source: RawSource, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A built folder of the 70 test patches that a test may damage."""
    small = RawSource(tuple(file for file in source.files if file.split == "test"), folder=source.folder)
    build(small, tmp_path / "out", BuildOptions(file_format=request.param), jobs=1)
    return tmp_path / "out"


def flips(path: Path, count: int) -> list[bytes]:
    """Return copies of a file with one bit turned over, anywhere."""
    rng, content, found = random.Random(0), path.read_bytes(), []
    for _ in range(count):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        found.append(bytes(damaged))
    return found


def test_verification_finds_every_flipped_bit(out: Path) -> None:
    """Arrow files have no checksums of their own: the sha256 in the manifest is what tells."""
    path = out / Manifest.read(out).shards[0].path

    for damaged in flips(path, 25):
        path.write_bytes(damaged)

        assert any("sha256 differs" in problem for problem in verify(out, jobs=1).problems)


def test_no_reader_hands_out_a_row_of_a_damaged_parquet_file(source: RawSource, tmp_path: Path) -> None:
    """Every page has its checksum, so that a flipped bit is an error and never another pixel."""
    small = RawSource(tuple(file for file in source.files if file.split == "test"), folder=source.folder)
    build(small, tmp_path / "out", BuildOptions(), jobs=1)
    ids = [f"testing/{row:06d}" for row in range(70)]
    true = patches(ids, tmp_path / "out")
    path = tmp_path / "out" / Manifest.read(tmp_path / "out").shards[0].path

    num_refused = 0
    for number, damaged in enumerate(flips(path, 40)):
        copy = tmp_path / f"copy-{number}"  # footers are kept, so another place for each
        shutil.copytree(tmp_path / "out", copy, copy_function=shutil.copy)
        (copy / path.relative_to(tmp_path / "out")).write_bytes(damaged)
        for read in (by_id, streamed):
            try:
                assert_same(read(copy, ids), true)
            except SourceError:
                num_refused += 1
        shutil.rmtree(copy)

    assert num_refused >= 70  # of 80; a few bits are read by nobody, such as bounds of pages


def by_id(folder: Path, ids: list[str]) -> PatchBlock:
    return patches(ids, folder)


def streamed(folder: Path, ids: list[str]) -> PatchBlock:
    (batch,) = PatchStream(folder, "test", shuffle=False, batch_size=len(ids))
    return PatchBlock(
        list(batch["id"]), np.asarray(batch["label"]), *map(np.asarray, (batch["sen1"], batch["sen2"]))
    )


def assert_same(found: PatchBlock, true: PatchBlock) -> None:
    assert found.ids == true.ids
    for name in ("label", "sen1", "sen2"):
        assert np.array_equal(getattr(found, name), getattr(true, name))
