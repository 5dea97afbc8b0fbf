"""What a file or folder is, whether it is the published one, and what is wrong with it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from so2sat_hf import facts
from so2sat_hf.convert import geo_file, split_file
from so2sat_hf.convert.as_published import published_name
from so2sat_hf.convert.decode import on_grid
from so2sat_hf.convert.manifest import MANIFEST, Manifest
from so2sat_hf.convert.patches import SPLIT_OF_FILE
from so2sat_hf.convert.raw import open_raw, raw_files
from so2sat_hf.convert.split_file import SplitFile
from so2sat_hf.convert.unpack import hash_of, unpacked_size
from so2sat_hf.errors import GeolocationError, SourceError

SAMPLE_ROWS = 2048
"""Rows whose ranges are read by default, in 64-row chunks spread evenly over the file."""

Progress = Callable[[int], None] | None
Looking = Callable[[str, int, int], None] | None


def describe(
    path: Path,
    *,
    checksum: bool = False,
    every_row: bool = False,
    progress: Progress = None,
    looking: Looking = None,
) -> str:
    """Describe a file or folder, as text for a terminal.

    Args:
        path: an HDF5 file (image or geo, plain or .gz), a folder of them, or a built folder.
        checksum: hash every file and compare with the published hashes.
        every_row: ranges over every row instead of a sample.
        progress: called with the bytes hashed.
        looking: called with (file name, arrays of a patch read, in all) while ranges are looked at.

    Raises:
        SourceError: it cannot be read, or is not laid out as published.
    """
    if (path / MANIFEST).is_file():
        return _built(path)
    if path.is_dir():
        files = raw_files(path)
        if not files:
            raise SourceError(
                path,
                found="neither training.h5, validation.h5, testing.h5 nor manifest.json",
                expected="a folder with the published HDF5 files, or one that `so2sat build` wrote",
            )
        parts = [
            _file(file, checksum=checksum, every_row=every_row, progress=progress, looking=looking)
            for file in files
        ]
        if all(file.suffix == ".h5" for file in files):
            parts.append(_together(path))
        return "\n\n".join(parts)
    if not path.exists():
        raise SourceError(path, found="no such file or folder", expected="an HDF5 file or a folder")
    return _file(path, checksum=checksum, every_row=every_row, progress=progress, looking=looking)


def _together(folder: Path) -> str:
    """Say whether a build would take the files: geo files for all or none, rows and positions that fit."""
    try:
        open_raw(folder)
    except SourceError as error:
        return f"A build would stop.  {error}"
    return "The files belong together."


def _file(path: Path, *, checksum: bool, every_row: bool, progress: Progress, looking: Looking) -> str:
    size = path.stat().st_size
    lines = [f"{path}", f"  size        {size:,} bytes"]
    if path.suffix == ".gz":
        lines.append(f"  gzip        unpacks to {unpacked_size(path):,} bytes")
        num_rows = None
    elif geo_file.is_geo(path):
        num_rows, text = _geo(path)
        lines += text
    else:
        num_rows = split_file.count_rows(path)
        lines += _images(path, num_rows, every_row=every_row, looking=looking)
    lines.append(f"  published   {_published(path, size, num_rows)}")
    if checksum:
        lines += _hashes(path, progress)
    return "\n".join(lines)


def _images(path: Path, num_rows: int, *, every_row: bool, looking: Looking) -> list[str]:
    stem = path.name.partition(".")[0]
    counts = np.bincount(split_file.read_labels(path), minlength=facts.NUM_CLASSES)
    lines = [f"  patches     {num_rows:,} of 32 x 32 pixels, 8 + 10 bands, float64", "  classes"]
    lines += [
        f"    {zone.code:>2}  {zone.name:<21} {counts[zone.index]:>9,}  {counts[zone.index] / num_rows:6.1%}"
        for zone in facts.classes()
    ]
    chunks = range(0, num_rows, 64)
    if not every_row and num_rows > SAMPLE_ROWS:
        chunks = range(0, num_rows, -(-num_rows // (SAMPLE_ROWS // 64)))
    read = sum(min(64, num_rows - start) for start in chunks)
    lines.append(f"  ranges      of {read:,} rows" + ("" if read == num_rows else " (--all reads every row)"))
    file = SplitFile(SPLIT_OF_FILE.get(stem, "train"), stem, path, None, num_rows)
    exact, done = {"sen1": True, "sen2": True}, 0
    for sensor in ("sen1", "sen2"):
        low, high = np.full(len(facts.bands(sensor)), np.inf), np.full(len(facts.bands(sensor)), -np.inf)
        for start in chunks:
            for _, raw in file.raw_chunks(sensor, range(start, min(start + 64, num_rows))):
                low, high = np.fmin(low, raw.min(axis=(0, 1, 2))), np.fmax(high, raw.max(axis=(0, 1, 2)))
                fits = on_grid(raw) if sensor == "sen2" else raw.astype(np.float32) == raw
                exact[sensor] &= bool(fits.all())
                done += len(raw)
            if looking:
                looking(path.name, done, 2 * read)
        for band in facts.bands(sensor):
            lines.append(
                f"    {band.name:<9} {low[band.index]:>12.6g} .. {high[band.index]:<12.6g} {band.unit}"
            )
    lines.append(
        f"  lossless    sen1 as float32: {_yes(exact['sen1'])}, sen2 as k / 10000: {_yes(exact['sen2'])}"
    )
    return lines


def _geo(path: Path) -> tuple[int, list[str]]:
    num_rows = geo_file.count_geo_rows(path)
    generation = geo_file.geo_generation(path, num_rows)
    lines = [f"  patches     {num_rows:,}", f"  geolocation of generation {generation}"]
    try:
        block = geo_file.locate_all(path, num_rows)
    except GeolocationError as error:
        lines.append(f"  WRONG       {error.found}; expected {error.expected}")
        return num_rows, lines
    names, counts = np.unique(block.city, return_counts=True)
    lines.append(f"  cities      {', '.join(f'{n} {c:,}' for n, c in zip(names, counts, strict=True))}")
    return num_rows, lines


def _published(path: Path, size: int, num_rows: int | None) -> str:
    """Whether size and rows are those of a published file."""
    files = facts.source_files(published_name(path))
    same = [file for file in files if file.bytes == size]
    if same and all(num_rows in (None, file.rows) for file in same if file.rows):
        versions = ", ".join(sorted({file.version for file in same}))
        return f"size and rows of version {versions}"
    known = sorted({f"{file.bytes:,}" for file in files if file.bytes})
    if known:
        return f"no: the published {published_name(path)} has {' or '.join(known)} bytes"
    return "nobody has stated its size (--checksum compares hashes)" if files else "no file of that name"


def _hashes(path: Path, progress: Progress) -> list[str]:
    """Compare the sha256 with the published ones; the md5 where only that is published, as in version 3."""
    files = facts.source_files(published_name(path))
    kind = "sha256" if any(file.sha256 for file in files) or not any(file.md5 for file in files) else "md5"
    digest = hash_of(path, kind, progress)
    known = {getattr(file, kind): file for file in files if getattr(file, kind)}
    if digest in known:
        verdict = f"the published one (version {known[digest].version})"
    else:
        verdict = "not a published one" if known else "no published hash of that name"
    return [f"  {kind:<11} {digest}", f"              {verdict}"]


def _built(folder: Path) -> str:
    manifest = Manifest.read(folder)
    sen2 = "digital numbers" if manifest.sen2_dtype == "uint16" else "reflectance"
    lines = [
        f"{folder}",
        f"  built by    so2sat_hf {manifest.package_version}",
        f"  format      {manifest.file_format}, version {manifest.format_version}, data {manifest.digest}",
        f"  columns     {', '.join(manifest.columns)}",
        f"  sen2        {manifest.sen2_dtype}, {sen2}",
        f"  geolocation {manifest.geolocation or 'none'}",
        f"  rounding    {dict(manifest.rounding) or 'none: every value is exact'}",
        f"  files       {len(manifest.shards)}, {manifest.num_bytes:,} bytes",
        *(f"  made from   {record.name}, {record.bytes:,} bytes" for record in manifest.sources),
    ]
    for name, split in manifest.splits.items():
        lines.append(f"  {name:<11} {split.rows:,} patches in {len(manifest.shards_of(name))} files")
    return "\n".join(lines)


def _yes(value: bool) -> str:  # noqa: FBT001
    return "yes" if value else "NO"
