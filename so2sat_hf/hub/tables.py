"""Tables of a dataset card, in Markdown. Every number comes from facts or from the build. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from so2sat_hf import facts
from so2sat_hf.convert.cells import SPLITS, VERSION_3_SPLITS
from so2sat_hf.convert.configs import Config
from so2sat_hf.convert.moments import PERCENTILES
from so2sat_hf.convert.plan import SUFFIX
from so2sat_hf.convert.wording import column_meanings
from so2sat_hf.facts import Band
from so2sat_hf.hub.contents import PICTURE, Contents, published_counts

CONFIG_OF_VERSION = {
    "1": ("v1",),
    "2": ("culture_10",),
    "3": ("culture_10_v3", "random", "block"),
    "4": ("culture_10",),
}
"""Published version -> configs that hold its splits."""

NOTHING = "\N{EN DASH}"
"""Stands where there is no patch."""

UNKNOWN = "?"
"""Stands where nobody has stated the number of patches."""

ACCESS = (
    ("open", None, "`load_dataset_builder(repo)`: what is there, and no row"),
    ("first", None, "first row of a stream"),
    ("first, row groups", None, "first row, by row group, small blocks"),
    ("whole", None, "stream of `train`"),
    ("whole, small blocks", None, "stream of `train`, small blocks"),
    ("sen2", "sen2", "`sen2`"),
    ("sen2, small blocks", "sen2", "`sen2`, small blocks"),
    ("sen1", "sen1", "`sen1`"),
    ("sen1, small blocks", "sen1", "`sen1`, small blocks"),
    ("columns", "culture_10", '`columns=["id", "label", "city"]`'),
    ("columns, small blocks", "culture_10", "the same, small blocks"),
    ("index", "index", "`index`: everything but pixels"),
    ("rgb", "rgb", "`rgb`"),
    ("label, small blocks", None, '`filters=[("label", "==", 9)]`, small blocks'),
    ("city, small blocks", "culture_10", '`filters=[("city", "==", "cairo")]`, small blocks'),
    ("id, small blocks", "culture_10", '`filters=[("id", "<", "training/000100")]`, small blocks'),
    ("rank", None, "rank 0 of 2, `split_dataset_by_node`"),
    ("workers", None, "`DataLoader` with 2 workers"),
    ("resume", None, "stream resumed from its `state_dict()`, small blocks"),
    ("resume, row groups", None, "the same, by row group"),
    ("map, mini", "mini", "`mini`, map style: all splits"),
    ("map", None, "map style: all splits"),
)
"""Measured ways of reading: name in the facts, config that must be there (None: any), what it is."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> str:
    """Return a Markdown table.

    Args:
        heads: of the columns.
        rows: cells.
        right: heads of columns with numbers, which are aligned right.
    """
    rule = ["---:" if head in right else "---" for head in heads]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def size(num_bytes: int) -> str:
    """Return a number of bytes to three digits, in powers of 1,000.

    >>> size(16_743_000_000), size(41_876_543), size(393_000), size(999_999_999)
    ('16.7 GB', '41.9 MB', '393 kB', '1.00 GB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if (shown := float(f"{num_bytes / unit:.3g}")) >= 1:
            return f"{shown:,.{2 if shown < 10 else 1 if shown < 100 else 0}f} {name}"
    return f"{num_bytes} bytes"


def configs(contents: Contents) -> str:
    """Every way to load the dataset: rows of each split, what it takes, what it is."""
    splits = [split for split in SPLITS if any(split in config.files for config in contents.configs)]
    built = contents.num_bytes is not None
    sizes = ["download", "disk"] if built else []

    def row(config: Config) -> Iterator[str]:
        yield f"`{config.name}`" + (" (default)" if config.is_default else "")
        for split in splits:
            rows = config.rows.get(split)
            yield f"{rows:,}" if rows else UNKNOWN if split in config.files else NOTHING
        if built:
            disk = config.num_bytes + sum(config.memory.values())
            yield from (
                size(number).replace(" ", "\N{NO-BREAK SPACE}") for number in (config.num_bytes, disk)
            )
        yield config.what

    heads = ["config", *splits, *sizes, "what it is"]
    return table(heads, map(list, map(row, contents.configs)), right=[*splits, *sizes])


def uncounted(contents: Contents) -> str:
    """Return what is known of files whose rows nobody has stated, as a list; empty for a build."""
    if contents.num_bytes is not None:
        return ""
    own = [file for file in facts.version("3").files if file.path.startswith(VERSION_3_SPLITS)]
    return "\n".join(f"* `{file.path}`: {file.note}" for file in own)


def columns(contents: Contents) -> str:
    """Columns of the data files, with type and unit."""
    meanings = column_meanings(contents.columns, sen2_dtype=contents.sen2_dtype)
    return table(["column", "type", "unit, meaning"], [(f"`{name}`", *rest) for name, *rest in meanings])


def versions(contents: Contents) -> str:
    """Return the four published versions, and which config is which."""
    rows = []
    for version in facts.versions():
        present = [name for name in CONFIG_OF_VERSION[version.name] if contents.config(name)]
        address = f"https://doi.org/{version.doi}" if version.doi else version.urls[0]
        link = f"[{version.doi or version.urls[0].removeprefix('https://')}]({address})"
        names = ", ".join(f"`{name}`" for name in present) or "not in this copy"
        rows.append([version.name, names, version.note, link])
    return table(["version", "config", "what it is", "source"], rows)


def classes(contents: Contents) -> str:
    """Return the 17 classes with colour and patches of each split; the last row adds them up."""
    counts = contents.class_counts
    totals = [sum(of_class) for of_class in zip(*counts.values(), strict=True)]
    rows = []
    for lcz in facts.classes():
        numbers = [*(counts[split][lcz.index] for split in counts), totals[lcz.index]]
        rows.append([str(lcz.index), lcz.code, lcz.name, f"`{lcz.color}`", *(f"{n:,}" for n in numbers)])
    sums = [*(sum(counts[split]) for split in counts), sum(totals)]
    rows.append(["", "", "all", "", *(f"{number:,}" for number in sums)])
    numbers_of = [*counts, "all"]
    return table(["label", "LCZ", "class", "colour", *numbers_of], rows, right=["label", *numbers_of])


def bands(contents: Contents) -> str:
    """Return the bands of the columns that are there, in the order in which they are stored."""
    rows = [
        [
            f"`{band.sensor}[{band.index}]`",
            f"`{band.name}`",
            band.description,
            _wavelength(band),
            f"{band.resolution} m",
            _unit(band, contents.sen2_dtype),
        ]
        for band in facts.bands()
        if band.sensor in contents.columns
    ]
    heads = ["channel", "band", "what it is", "wavelength", "native", "stored as"]
    return table(heads, rows, right=["wavelength", "native"])


def _wavelength(band: Band) -> str:
    return (
        f"{band.wavelength_nm:,.0f} nm" if band.wavelength_nm < 1e6 else f"{band.wavelength_nm / 1e7:.2f} cm"
    )


def _unit(band: Band, sen2_dtype: str) -> str:
    return "digital number" if band.sensor == "sen2" and sen2_dtype == "uint16" else band.unit


def statistics(contents: Contents) -> str:
    """Mean, deviation and percentiles of the training patches in the unit that a model should see."""
    rows = [
        [
            f"`{name}`",
            f"asinh(x / {row['scale']:g})" if "scale" in row else row["unit"],
            f"{row['mean']:.4g}",
            f"{row['std']:.4g}",
            *(f"{row[name]:.4g}" if name in row else "" for name in PERCENTILES),
        ]
        for name, row in contents.statistics.get("bands", {}).items()
    ]
    numbers = ["mean", "deviation", "1 % below", "99 % below"]
    return table(["band", "unit", *numbers], rows, right=numbers)


def published_statistics() -> str:
    """Return the numbers that others have published of training.h5, in the stored units."""
    known = facts.statistics("2/training")
    columns = (known.mean, known.std, known.min, known.max)
    rows = [
        [f"`{band.name}`", band.unit, *(f"{column[band.name]:.5g}" for column in columns)]
        for band in facts.bands()
    ]
    heads = ["band", "stored as", "mean", "deviation", "min", "max"]
    return table(heads, rows, right=heads[2:])


def cities() -> str:
    """Return the 52 cities with zone and published patches."""
    rows = [
        [
            f"`{city.key}`",
            city.name,
            city.country,
            str(city.epsg),
            *(
                f"{number:,}" if number else NOTHING
                for number in (city.training, city.validation, city.testing)
            ),
        ]
        for city in facts.cities()
    ]
    return table(["key", "city", "country", "EPSG", *SPLITS], rows, right=["EPSG", *SPLITS])


def sources(contents: Contents) -> str:
    """Return the published files that the dataset is made from."""
    rows = [
        [f"`{source.name}`", f"{source.bytes:,}", f"`{source.sha256}`" if source.sha256 else "not computed"]
        for source in contents.sources
    ]
    return table(["file", "bytes", "sha256"], rows, right=["bytes"])


def access(contents: Contents) -> str:
    """Return what each way of reading fetches, as far as the dataset offers it."""
    known = facts.access()
    rows = [
        [what, f"{found.rows:,}", f"{found.requests:,}", size(found.bytes), _percent(known.share(name))]
        for name, config, what in ACCESS
        if config is None or contents.config(config)
        for found in [known.patterns[name]]
    ]
    numbers = ["patches", "requests", "fetched", "of the files of `train`"]
    return table(["what is read", *numbers], rows, right=numbers)


def _percent(share: float) -> str:
    """Return a share to two digits, or whole.

    >>> _percent(0.00247), _percent(0.0712), _percent(1.224)
    ('0.25 %', '7.1 %', '122 %')
    """
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def rarest_and_commonest() -> tuple[str, str]:
    """Return name and published patches of the smallest and of the largest class."""
    totals = [sum(of_class) for of_class in zip(*published_counts().values(), strict=True)]
    named = sorted((total, lcz.name) for total, lcz in zip(totals, facts.classes(), strict=True))
    small, large = (f"{total:,} of {name}" for total, name in (named[0], named[-1]))
    return small, large


def tree(contents: Contents) -> str:
    """Return the folders and files of the repository with what they hold."""
    suffix = SUFFIX[contents.file_format]
    lines = [(f"data/{split}/*{suffix}", f"pixels of {split}") for split in contents.class_counts]
    lines += [
        (f"{config.name}/", config.what)
        for config in contents.configs
        if config.name in ("index", "rgb", "mini")
    ]
    lines += [(PICTURE, "one patch of each class")] if contents.with_picture else []
    lines += [("statistics.json", "mean and deviation of each band")] if contents.statistics else []
    lines += [("manifest.json", "every file with rows, bytes and sha256; what it was made from")]
    width = max(len(path) for path, _ in lines)
    return "\n".join(f"{path:{width}}   {what}" for path, what in lines)
