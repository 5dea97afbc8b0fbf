"""What ``load.py`` measures: every contender of every section, and what is wanted of ours."""

from dataclasses import dataclass

OURS, HF, H5PY, TORCHGEO = "load_so2sat.py", "load_hf.py", "load_h5py.py", "load_torchgeo.py"
MDS, LITDATA, LIMITS = "load_mds.py", "load_litdata.py", "load_limits.py"

HUB = "hub"
"""Place of the repository on the local Hub."""


@dataclass(frozen=True)
class Case:
    """One contender: a reader, what it reads, and how."""

    section: str
    name: str
    script: str
    place: str
    pattern: str
    bands: str = "all"
    workers: int = 0
    threads: int = 2

    @property
    def key(self):
        """Section and name."""
        return f"{self.section}: {self.name}"

    @property
    def options(self):
        """Command line of the reader after PLACE."""
        numbers = ["--workers", self.workers, "--threads", self.threads]
        return [self.pattern, "--bands", self.bands, *numbers]


def with_workers(section, name, counts, *rest):
    """Make a case for each number of workers."""
    for count in counts:
        shown = f"{name}, {count} worker{'s' * (count > 1)}" if count else name
        yield Case(section, shown, *rest, workers=count)


def limits():
    """What bounds everybody."""
    section = "limit"
    yield Case(section, "pyarrow decodes Parquet, 2 threads", LIMITS, "parquet", "decode")
    yield Case(section, "the same, whole row groups", LIMITS, "parquet", "decode groups")
    yield Case(section, "pyarrow decodes Parquet, 1 thread", LIMITS, "parquet", "decode", threads=1)
    yield Case(section, "pyarrow decodes sen2 of Parquet, 2 threads", LIMITS, "parquet", "decode", bands="s2")
    yield Case(section, "memory copy of random patches", LIMITS, "parquet", "copy")


def sequential():
    """18 bands in stored order."""
    section = "sequential"
    yield Case(section, "PatchStream, Arrow", OURS, "arrow", "stream sequential")
    yield Case(section, "PatchStream, Parquet", OURS, "parquet", "stream sequential")
    yield Case(section, "litdata", LITDATA, "litdata", "sequential")
    yield Case(section, "mosaicml-streaming", MDS, "mds", "sequential")
    yield Case(section, "h5py, one handle, slices", H5PY, "raw", "sequential")
    yield Case(section, "torchgeo So2Sat", TORCHGEO, "raw", "sequential")
    yield Case(section, "datasets map, arrow by hand", HF, "parquet", "map arrow sequential")
    yield Case(section, "datasets stream, arrow by hand", HF, "parquet", "stream arrow sequential")
    yield Case(section, "datasets stream, numpy", HF, "parquet", "stream numpy sequential")
    yield Case(section, "datasets stream, torch", HF, "parquet", "stream torch sequential")


def shuffled_parquet():
    """18 bands, shuffled, from the files as published."""
    section = "shuffled, Parquet"
    yield from with_workers(section, "PatchStream", (0, 1, 2), OURS, "parquet", "stream")
    yield Case(section, "PatchStream, 1 thread", OURS, "parquet", "stream", threads=1)
    yield Case(section, "datasets .shuffle, arrow by hand", HF, "parquet", "stream arrow")
    yield Case(section, "datasets .shuffle, torch", HF, "parquet", "stream torch")


def shuffled_copy():
    """18 bands, shuffled, from a copy for training: float32, and sen2 as uint16."""
    section = "shuffled, local copy"
    yield from with_workers(section, "PatchStream, Arrow", (0, 1, 2), OURS, "arrow", "stream")
    yield from with_workers(section, "litdata", (0, 1, 2), LITDATA, "litdata", "shuffled")
    yield Case(section, "litdata, no batches", LITDATA, "litdata", "shuffled items")
    yield from with_workers(section, "mosaicml-streaming", (0, 2), MDS, "mds", "shuffled")
    section = "shuffled, local copy, uint16"
    yield Case(section, "PatchStream, Arrow", OURS, "arrow-uint16", "stream")
    yield Case(section, "litdata", LITDATA, "litdata-uint16", "shuffled")
    yield Case(section, "mosaicml-streaming", MDS, "mds-uint16", "shuffled")


def random():
    """18 bands by number, in random order."""
    section = "random"
    yield Case(section, "PatchTable, Arrow", OURS, "arrow", "table")
    yield from with_workers(
        section, "PatchTable, Arrow, DataLoader", (0, 1, 2), OURS, "arrow", "table loader"
    )
    yield Case(section, "PatchTable, cache of datasets", OURS, "parquet", "cache")
    yield Case(section, "Resident, CPU", OURS, "arrow", "resident")
    yield Case(section, "mosaicml-streaming", MDS, "mds", "random")
    yield Case(section, "mosaicml-streaming, no batches", MDS, "mds", "random items")
    yield Case(section, "litdata", LITDATA, "litdata", "random")
    yield Case(section, "litdata, no batches", LITDATA, "litdata", "random items")
    yield Case(section, "h5py, one handle", H5PY, "raw", "shuffled")
    yield from with_workers(section, "torchgeo So2Sat", (0, 2), TORCHGEO, "raw", "shuffled")
    yield from with_workers(section, "datasets map, torch", (0, 2), HF, "parquet", "map torch")
    yield Case(section, "datasets map, numpy", HF, "parquet", "map numpy")
    yield Case(section, "datasets map, arrow by hand", HF, "parquet", "map arrow")


def fewer_bands():
    """Sentinel-2 alone, and three bands of it, shuffled."""
    for section, bands in (("S2 only", "s2"), ("RGB only", "rgb")):
        yield Case(section, "PatchStream, Parquet", OURS, "parquet", "stream", bands)
        if bands == "s2":
            yield Case(section, "datasets .shuffle, torch", HF, "parquet", "stream torch", bands)
        yield Case(section, "PatchStream, Arrow", OURS, "arrow", "stream", bands)
        yield Case(section, "PatchTable, Arrow", OURS, "arrow", "table", bands)
        yield Case(section, "h5py, one handle", H5PY, "raw", "shuffled", bands)
        yield Case(section, "torchgeo So2Sat", TORCHGEO, "raw", "shuffled", bands)
        yield Case(section, "datasets map, torch", HF, "parquet", "map torch", bands)


def over_http():
    """From the local Hub."""
    section = "local Hub over HTTP"
    yield Case(section, "PatchStream, shuffled", OURS, HUB, "stream")
    yield Case(section, "PatchStream, shuffled, S2 only", OURS, HUB, "stream", "s2")
    yield Case(section, "datasets stream, sequential, arrow by hand", HF, HUB, "stream arrow sequential")
    yield Case(section, "datasets .shuffle, torch", HF, HUB, "stream torch")


CASES = (  # what is compared with each other runs one after the other: a machine is not as fast all the time
    *sequential(),
    *limits(),
    *shuffled_parquet(),
    *shuffled_copy(),
    *random(),
    *fewer_bands(),
    *over_http(),
)

TARGETS = (  # case, at least so many times, that one
    ("shuffled, Parquet: PatchStream", 12.0, "shuffled, Parquet: datasets .shuffle, torch"),
    ("shuffled, Parquet: PatchStream", 0.8, "limit: pyarrow decodes Parquet, 2 threads"),
    ("shuffled, Parquet: PatchStream", 0.8, "limit: the same, whole row groups"),
    ("shuffled, Parquet: PatchStream, 1 thread", 0.8, "limit: pyarrow decodes Parquet, 1 thread"),
    ("shuffled, local copy: PatchStream, Arrow", 1.0, "shuffled, local copy: litdata"),
    ("shuffled, local copy, uint16: PatchStream, Arrow", 1.0, "shuffled, local copy, uint16: litdata"),
    ("random: PatchTable, Arrow", 1.5, "random: mosaicml-streaming"),
    ("random: PatchTable, Arrow", 1.5, "random: mosaicml-streaming, no batches"),
    ("S2 only: PatchStream, Parquet", 1.3, "shuffled, Parquet: PatchStream"),
)

STREAM_SLACK_MB = 300
"""A stream may hold so much more than the patches of its window."""

FLAT = 1.1
"""Memory of a stream is flat if the last epoch takes at most so many times that of the second."""
