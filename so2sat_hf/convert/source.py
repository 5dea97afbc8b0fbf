"""Open whatever holds patches: a folder of published HDF5 files, or a folder that was built from them."""

from collections.abc import Callable
from pathlib import Path

from so2sat_hf.convert.built import BuiltSource, open_built
from so2sat_hf.convert.manifest import MANIFEST
from so2sat_hf.convert.raw import RawSource, is_raw_folder, open_raw
from so2sat_hf.errors import SourceError


def open_source(
    path: Path,
    *,
    work: Path | None = None,
    drop_geo: bool = False,
    allow_rounding: bool = False,
    splits: tuple[str, ...] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> RawSource | BuiltSource:
    """Open a folder as a source; a manifest tells a built one.

    Args:
        path: the folder.
        work: see :func:`~so2sat_hf.convert.raw.open_raw`, as the others.
        drop_geo: leave geolocation out.
        allow_rounding: store the nearest value where none is exact.
        splits: open these alone, as if there were no others; empty for all.
        progress: called while archives are unpacked.

    Raises:
        SourceError: neither kind of folder, or what it holds cannot be used.
    """
    if (path / MANIFEST).is_file():
        return open_built(path, splits)
    if path.is_file():
        raise SourceError(
            path,
            found="a file",
            expected="the folder that holds training.h5, validation.h5, testing.h5",
            remedy=f"give {path.resolve().parent}",
        )
    if path.is_dir() and not is_raw_folder(path):
        raise SourceError(
            path,
            found="neither training.h5, validation.h5, testing.h5 nor manifest.json",
            expected="a folder with the published HDF5 files, or one that `so2sat build` wrote",
            remedy="give the folder that holds them; `so2sat synth` writes one with generated data",
        )
    return open_raw(
        path,
        work=work,
        drop_geo=drop_geo,
        allow_rounding=allow_rounding,
        splits=splits,
        progress=progress,
    )
