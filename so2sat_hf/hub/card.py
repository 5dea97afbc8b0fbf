"""The dataset card: prose from a template, numbers from facts and the build. Needs no network and no Hub."""

import difflib
import re
from collections.abc import Mapping
from importlib.resources import files
from itertools import islice
from pathlib import Path

from so2sat_hf import facts
from so2sat_hf.companions.brightness import TFDS_FACTOR
from so2sat_hf.companions.footprint import SIDE
from so2sat_hf.companions.mini import PER_SPLIT
from so2sat_hf.convert.configs import Config, column_bytes
from so2sat_hf.convert.manifest import README, Manifest
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, PATCH_SIZE, PIXEL_SIZE
from so2sat_hf.convert.plan import ROW_GROUP_ROWS
from so2sat_hf.convert.readme import head, join, metadata
from so2sat_hf.convert.table import NUM_BANDS
from so2sat_hf.convert.wording import exactness
from so2sat_hf.errors import FolderError
from so2sat_hf.hub import tables
from so2sat_hf.hub.contents import MIRROR, PICTURE, PUBLISHED, Contents, as_published, of_build
from so2sat_hf.hub.tables import size
from so2sat_hf.hub.template import fill

TEMPLATE = "dataset_card.md"

OUTLIER = "VV_lee"
"""The radar band with the largest values."""


def page(manifest: Manifest, texts: Mapping[str, str], repo: str | None = None) -> str:
    """Return the card of a built folder, without the YAML.

    Args:
        manifest: of the folder.
        texts: path -> content of the small files that the manifest lists; statistics are left out of the
            card if ``statistics.json`` is not among them.
        repo: id of the repository on the Hub that the folder is for; None: it is read where it lies.
    """
    return write(of_build(manifest, texts), repo)


def readme_of(folder: Path, repo: str | None = None) -> str:
    """Return the README that a built folder should have.

    Args:
        folder: what ``so2sat build`` wrote.
        repo: as in :func:`page`.

    Raises:
        FolderError: it has no manifest, or lacks a file that the manifest lists.
    """
    manifest = Manifest.read(folder)
    texts = {}
    for record in manifest.files:
        if record.path.endswith(".json"):
            try:
                texts[record.path] = (folder / record.path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise FolderError(
                    folder / record.path,
                    found="missing or unreadable, but listed in the manifest",
                    remedy="run the same `so2sat build` again",
                ) from error
    return join(head(manifest), page(manifest, texts, repo))


def published() -> str:
    """Return the card of the published dataset with its YAML, as far as facts know it."""
    contents, repo = as_published(), facts.version(PUBLISHED).mirror(MIRROR).repo_id
    return join(metadata(contents.configs, num_rows=contents.num_rows), write(contents, repo))


def differences(path: Path, wanted: str, *, limit: int = 20) -> list[str]:
    """Return the first lines in which a file differs from what it should be; none if it does not."""
    found = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if found == wanted:
        return []
    lines = difflib.unified_diff(
        found.splitlines(), wanted.splitlines(), f"{path}", f"{path}, rendered", lineterm="", n=0
    )
    return list(islice(lines, limit)) or [f"{path}: other line ends, or none at the end"]


def readme_path(folder: Path) -> Path:
    """Return where the README of a folder is."""
    return folder / README


def write(contents: Contents, repo: str | None = None) -> str:
    """Return the card of a dataset; see :func:`page`."""
    template = (files(__package__) / "templates" / TEMPLATE).read_text(encoding="utf-8")
    return fill(template, values_of(contents, repo), flags(contents, repo))


def values_of(contents: Contents, repo: str | None = None) -> dict[str, str]:
    """Return what stands in the places of the template."""
    places = {
        "repo": repo or ".",
        "repo_note": "or the path of a folder with these files" if repo else "the folder with this README",
        "repo_files": f"hf://datasets/{repo}/" if repo else "",
        "repo_file": "hf://datasets/{repo}/" if repo else "{repo}/",
    }
    return places | _constants() | _costs(contents) | _access() | _tables(contents) | _words(contents)


def flags(contents: Contents, repo: str | None = None) -> dict[str, bool]:
    """Return which passages of the template apply."""
    names = {config.name for config in contents.configs}
    return {
        "hub": repo is not None,
        "built": contents.num_bytes is not None,
        "whole": contents.is_whole,
        "picture": contents.with_picture,
        "parquet": contents.file_format == "parquet",
        "digital_numbers": contents.sen2_dtype == "uint16",
        "geolocation": "city" in contents.columns,
        "generation_2025": contents.generation == "2025",
        "generation_2026": contents.generation == "2026",
        "raster": (index := contents.config("index")) is not None and "sen1_row" in index.features,
        "statistics": bool(contents.statistics),
        "unmeasured": contents.num_bytes is not None and not contents.statistics,
        "pixels": bool(set(NUM_BANDS) & set(contents.columns)),
        "exact": not contents.rounding,
        "unhashed": not all(source.sha256 for source in contents.sources),
        "tagged": bool(contents.tags),
        "left_out": bool(contents.left_out),
        "views": {"sen1", "sen2"} <= names,
        "versions_3": {"random", "block"} <= names,
        **{name: name in names for name in ("culture_10", "index", "rgb", "mini")},
        **{name: name in contents.columns for name in NUM_BANDS},
    }


def _constants() -> dict[str, str]:
    """Values that are the same in every card."""
    training = facts.statistics("2/training")
    smallest, largest = tables.rarest_and_commonest()
    small = sum(city.rows for city in facts.cities() if city.note.startswith("small area"))
    doi = re.search(r"doi\s*=\s*\{(.+?)\}", facts.citation())
    return {
        "published_rows": f"{facts.published_rows():,}",
        "num_cities": str(len(facts.cities())),
        "num_classes": str(len(facts.classes())),
        "patch_size": str(PATCH_SIZE),
        "pixel_size": f"{PIXEL_SIZE:g}",
        "side": f"{SIDE:g}",
        "group_rows": str(ROW_GROUP_ROWS),
        "dn": str(DN_PER_REFLECTANCE),
        "white": f"{255 / TFDS_FACTOR:.2f}",
        "paper_doi": doi[1] if doi else "",
        "citation": facts.citation().strip(),
        "picture": PICTURE,
        "outlier": OUTLIER,
        "outlier_mean": f"{training.mean[OUTLIER]:.2g}",
        "outlier_std": f"{training.std[OUTLIER]:.2g}",
        "outlier_max": f"{training.max[OUTLIER]:,.0f}",
        "reflectance_max": f"{max(training.max[band.name] for band in facts.bands('sen2')):.1f}",
        "smallest": smallest,
        "largest": largest,
        "small_places": f"{small:,}",
        "london": str(facts.city("london").epsg),
        "mini_rule": ", ".join(f"{count} of {split}" for split, count in PER_SPLIT.items()),
    }


def _costs(contents: Contents) -> dict[str, str]:
    """What each way to load the dataset takes."""
    split = next(iter(contents.default.files))
    reads = contents.default.bytes.get(split)
    built = contents.num_bytes is not None
    return {
        "stream_cost": "Nothing on disk" + (f"; one pass reads {size(reads)}" if reads else ""),
        "view_cost": "Nothing on disk" + ("; one pass reads less" if reads else ""),
        "full_cost": _cost(contents.default, built=built),
        "repo_cost": size(contents.num_bytes) if contents.num_bytes is not None else "all configs",
        **{f"{name}_cost": _cost(contents.config(name), built=built) for name in ("mini", "index", "rgb")},
    }


def _access() -> dict[str, str]:
    """Return how the ways of reading were measured."""
    known = facts.access()
    return {
        "access_rows": f"{known.rows:,}",
        "access_files": str(known.files),
        "access_bytes": size(known.bytes_of_train),
        "access_stop": f"{known.interrupted_after:,}",
        "access_where": f"{known.machine}, {known.date}",
        "group_bytes": size(round(known.bytes_of_train * known.row_group_rows / known.rows)),
    }


def _cost(config: Config | None, *, built: bool) -> str:
    if config is None:
        return ""
    if built:
        disk = config.num_bytes + sum(config.memory.values())
        return f"{size(config.num_bytes)} to download, {size(disk)} on disk"
    pixels = sum(
        column_bytes(name, kind.dtype) for name, kind in config.features.items() if name in NUM_BANDS
    )
    rows = sum(config.rows.values())
    return f"{rows:,} patches" + (f", more than {size(rows * pixels)} on disk" if pixels else "")


def _tables(contents: Contents) -> dict[str, str]:
    return {
        "access": tables.access(contents),
        "configs": tables.configs(contents),
        "uncounted": tables.uncounted(contents),
        "columns": tables.columns(contents),
        "versions": tables.versions(contents),
        "classes": tables.classes(contents),
        "bands": tables.bands(contents),
        "statistics": tables.statistics(contents),
        "published_statistics": tables.published_statistics(),
        "cities": tables.cities(),
        "sources": tables.sources(contents),
        "tree": tables.tree(contents),
    }


def _words(contents: Contents) -> dict[str, str]:
    """Words and short sentences that depend on the dataset."""
    rgb, mini = contents.config("rgb"), contents.config("mini")
    left_out = (
        f"* `{name}` leaves out {count:,} patches: they are in none of its splits."
        for name, count in contents.left_out.items()
    )
    mirror = facts.version(PUBLISHED).mirror(MIRROR)
    built = f"Built by so2sat_hf {contents.package_version} from these files:"
    described = (
        f"so2sat_hf builds it from these files of version {PUBLISHED} ([{mirror.title}]({mirror.page}) at "
        f"revision `{mirror.revision}`), and from version 3 for `random` and `block`:"
    )
    checked = "The build checks every value against the published float64, and stops where one is not exact."
    return {
        "split": next(iter(contents.default.files)),
        "default": contents.default.name,
        "num_rows": f"{contents.num_rows:,}",
        "sen2_unit": "digital numbers" if contents.sen2_dtype == "uint16" else "reflectance",
        "mini_what": mini.what if mini else "",
        "rgb_columns": ", ".join(f"`{name}`" for name in rgb.features) if rgb else "",
        "left_out": "\n".join(left_out),
        "and_places": " and places" if "city" in contents.columns else "",
        "tags": ", ".join(f"`{tag}`" for tag in contents.tags),
        "statistics_rows": f"{contents.statistics.get('rows', 0):,}",
        "statistics_split": str(contents.statistics.get("split", "")),
        "made_by": built if contents.package_version else described,
        "exactness": exactness(contents.rounding) if contents.package_version else checked,
        "id_versions": "versions 2 and 4" if contents.config("culture_10") else "version 3",
    }
