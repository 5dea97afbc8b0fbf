"""The values that facts are given as: frozen, and every field explained. Nothing is read here."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Band:
    """One of the 18 channels of a patch."""

    name: str
    """What users type and what a GeoTIFF shows, e.g. ``"B04"`` or ``"VV_lee"``."""

    sensor: str
    """The column that holds it: ``"sen1"`` or ``"sen2"``."""

    index: int
    """Position in its own sensor, from 0: last axis of the HDF5 array, first axis of a stored patch."""

    unit: str
    """Of the stored value: ``"linear amplitude"``, ``"linear power"`` or ``"reflectance"``."""

    wavelength_nm: float
    """Centre wavelength in nanometres."""

    resolution: int
    """Metres of the native band; every band is published on the 10 m grid."""

    common_name: str | None
    """Name in the STAC eo extension, e.g. ``"nir08"``; None for radar."""

    description: str
    """What it is, in a few words."""

    model_unit: str
    """What a model should see: ``"reflectance"``, ``"dB"`` (10 log10 x), ``"asinh"`` of x / model_scale."""

    model_scale: float | None
    """Divisor inside asinh, in the unit of the band, this package's own choice; None without asinh."""


@dataclass(frozen=True, slots=True)
class LCZClass:
    """One of the 17 local climate zones."""

    index: int
    """The label, 0 = LCZ 1 ... 9 = LCZ 10, 10 = LCZ A ... 16 = LCZ G."""

    code: str
    """As on a map: ``"1"`` to ``"10"``, ``"A"`` to ``"G"``."""

    name: str
    """Name of the class, e.g. ``"Compact high-rise"``."""

    color: str
    """Fill colour on a map, ``"#rrggbb"``."""

    built: bool
    """True for the built types 1 to 10, False for natural land cover A to G."""


@dataclass(frozen=True, slots=True)
class City:
    """One of the 52 cities."""

    key: str
    """The publisher's own key, lower case without spaces, e.g. ``"newyork"``."""

    name: str
    """For people, e.g. ``"New York"``."""

    country: str
    """English short name."""

    longitude: float
    """WGS 84 degrees of the middle of its patches, near the centre of the city, good to 0.1 degree."""

    latitude: float
    """WGS 84 degrees of the middle of its patches, near the centre of the city, good to 0.1 degree."""

    epsg: int
    """UTM zone of all its patches; not always the zone the city lies in."""

    training: int
    """Rows of training.h5 (versions 1, 2, 4)."""

    validation: int
    """Rows of validation.h5."""

    testing: int
    """Rows of testing.h5."""

    note: str
    """What a reader may stumble on; empty if nothing."""

    @property
    def rows(self) -> int:
        """Patches of the city in all three files."""
        return self.training + self.validation + self.testing


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A published HDF5 file, plain or gzipped. What nobody has stated is None."""

    version: str
    """Name of the version it belongs to, ``"1"`` to ``"4"``."""

    path: str
    """Below the root of its version, with forward slashes, e.g. ``"random/training.h5"``."""

    split: str
    """``"train"``, ``"validation"`` or ``"test"`` of its version."""

    rows: int | None
    """Number of patches."""

    bytes: int | None
    """Size as published, gzipped if the path ends in ``.gz``."""

    md5: str | None
    """32 hexadecimal digits, lower case."""

    sha256: str | None
    """64 hexadecimal digits, lower case."""

    sha512: str | None
    """128 hexadecimal digits, lower case."""

    generation: int | None
    """2025 or 2026 for a file of geolocation; None for a file of patches."""

    inferred: tuple[str, ...]
    """Fields that follow from other files or from the layout, and were not read off this very file."""

    note: str
    """What else is known; empty if nothing."""

    mirrors: tuple[str, ...]
    """Names of the mirrors of its version that have it; empty if none hands it out over HTTP."""

    source: str
    """Who states it; the names are explained at the head of versions.toml."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """A server that hands out the files of a version over HTTP."""

    name: str
    """``"hub"`` or ``"mediatum"``."""

    title: str
    """For people, in the middle of a sentence, e.g. ``"the Hugging Face Hub"``."""

    page: str
    """Where people can look at it, e.g. ``"https://mediatum.ub.tum.de/1836598"``."""

    folder: str
    """Of the files: a path in the repository, or the whole address of a web folder, ending in a slash."""

    repo_id: str | None
    """Dataset repository on the Hub, e.g. ``"zhu-xlab/So2Sat-LCZ42"``; None elsewhere."""

    revision: str | None
    """Commit or tag of that repository that holds the files; None elsewhere."""

    user: str | None
    """Public user of the web folder; None where nobody logs in, or with an account of their own."""

    password: str | None
    """Public password that goes with the user."""

    without_ranges: tuple[str, ...]
    """Paths of files that come from the first byte only: a transfer that was cut cannot be continued."""

    source: str
    """Who states it."""


@dataclass(frozen=True, slots=True)
class Version:
    """One of the four releases."""

    name: str
    """``"1"`` to ``"4"``."""

    doi: str | None
    """Without resolver, e.g. ``"10.14459/2018mp1483140"``; None if it has none of its own."""

    licence: str
    """SPDX identifier."""

    urls: tuple[str, ...]
    """Landing page first, then the folders to download from."""

    note: str
    """What sets it apart."""

    mirrors: tuple[Mirror, ...]
    """Servers that hand it out over HTTP; empty for versions that are there by FTP only."""

    files: tuple[SourceFile, ...]
    """Everything published in it; version 4 has each geolocation file twice, once per generation."""

    def mirror(self, name: str) -> Mirror:
        """Return the mirror of that name, one of :attr:`mirrors`."""
        return next(mirror for mirror in self.mirrors if mirror.name == name)


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Published statistics of one file, by band name, over every pixel of every patch in the stored unit."""

    key: str
    """Version and file, e.g. ``"2/training"``, ``"3/random/testing"``; ``"pooled"`` is all of version 2."""

    rows: int | None
    """Number of patches; None where nobody has stated it."""

    source: str
    """Who states it."""

    mean: Mapping[str, float]
    """Band name -> mean."""

    std: Mapping[str, float]
    """Band name -> population standard deviation."""

    min: Mapping[str, float]
    """Band name -> smallest value; empty if not published."""

    max: Mapping[str, float]
    """Band name -> largest value; empty if not published."""

    zeros: Mapping[str, int]
    """Band name -> pixels that are exactly 0; empty if not published."""

    negatives: Mapping[str, int]
    """Band name -> pixels below 0; empty if not published."""


@dataclass(frozen=True, slots=True)
class AccessPattern:
    """What one way of reading the dataset from the Hub took."""

    rows: int
    """Patches that came out."""

    requests: int
    """HTTP requests, redirections counted on their own."""

    bytes: int
    """Of the bodies of all answers."""


@dataclass(frozen=True, slots=True)
class Access:
    """What each way of reading the dataset from the Hub takes, measured on generated patches."""

    source: str
    """What measured it, on what."""

    date: str
    """Day of the measurement, ISO 8601."""

    machine: str
    """Where, e.g. ``"2 cores of an AMD EPYC"``."""

    rows: int
    """Patches of train."""

    files: int
    """Data files of train."""

    row_group_rows: int
    """Patches of a row group."""

    bytes_of_train: int
    """Size of the data files of train."""

    interrupted_after: int
    """Patches that were read before the streams that were resumed."""

    patterns: Mapping[str, AccessPattern]
    """Name of the pattern in ``benchmarks/peers/hub_reader.py`` -> what it took; medians."""

    def share(self, pattern: str) -> float:
        """Return the bytes of a pattern over those of the data files of train."""
        return self.patterns[pattern].bytes / self.bytes_of_train
