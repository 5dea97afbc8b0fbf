"""A streaming ``datasets.IterableDataset`` -> the built dataset whose files it reads.

``datasets`` keeps the files of a stream behind private names. They are read here and nowhere else; what is
not exactly as expected (datasets 4 to 5.2) is an error with the way on: the folder or the repository itself.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from so2sat_hf.convert.manifest import MANIFEST
from so2sat_hf.errors import So2SatError
from so2sat_hf.load.files import open_place
from so2sat_hf.load.place import Place

REMEDY = "give the folder or OWNER/NAME and the split instead: PatchStream has ids=, columns=, seed=, rank="


class Streamed(NamedTuple):
    """What a stream reads."""

    place: Place
    """Of its files."""

    split: str
    """``train``, or of another version: ``random/train``."""

    columns: tuple[str, ...]
    """Those that the stream shows, in stored order."""


def is_stream(value: object) -> bool:
    """Whether it is an IterableDataset of ``datasets``, which is not imported for the question."""
    return any(
        kind.__name__ == "IterableDataset" and kind.__module__.partition(".")[0] == "datasets"
        for kind in type(value).__mro__
    )


def open_streamed(dataset: Any) -> Streamed:  # noqa: ANN401
    """Find what a stream reads.

    Args:
        dataset: ``load_dataset(..., streaming=True)`` of a folder that ``so2sat build`` wrote or of such a
            dataset on the Hub, one split; ``select_columns`` and ``with_format`` may have been called.

    Raises:
        So2SatError: rows were changed, chosen, shuffled or dealt out; or the files are not those of a split.
        FolderError: the files belong to no built dataset.
        HubError: the Hub refuses.
    """
    files, selected = _files(dataset)
    place, paths = _opened(files)
    split = _split_of(place, paths, str(getattr(dataset, "split", None) or ""))
    shown = getattr(dataset, "column_names", None) or place.manifest.columns
    shown = [name for name in shown if selected is None or name in selected]
    unknown = [name for name in shown if name not in place.manifest.columns]
    if unknown:
        raise _refused(f"column {unknown[0]}", f"columns {', '.join(place.manifest.columns)}")
    return Streamed(place, split, tuple(name for name in place.manifest.columns if name in shown))


def _files(dataset: Any) -> tuple[list[str], list[str] | None]:  # noqa: ANN401
    """Return the files of a stream, and the columns selected if some were."""
    examples: Any = getattr(dataset, "_ex_iterable", None)
    selected = None
    while type(examples).__name__ == "SelectColumnsIterable":
        selected = selected if selected is not None else list(examples.column_names)  # the last one counts
        examples = examples.ex_iterable
    if type(examples).__name__ != "ArrowExamplesIterable":
        raise _refused(
            f"rows that went through {type(examples).__name__}", "the rows of its files as they are"
        )
    for name, what in (
        ("_distributed", "split_dataset_by_node"),
        ("_starting_state_dict", "load_state_dict"),
    ):
        if getattr(dataset, name, None) is not None:
            raise _refused(what, "a stream that begins at its beginning, for one rank")
    arguments: Mapping[str, Any] = getattr(examples, "kwargs", {})
    files, parts = _flat(arguments.get("files")), arguments.get("row_groups_list")
    if parts is not None and any(part is not None for part in parts):
        raise _refused("reshard", "whole files")
    if not files or not all(isinstance(file, str) for file in files):
        raise _refused("no names of files in it", "Parquet or Arrow files of a built dataset")
    return files, selected


def _flat(files: Any) -> list[Any]:  # noqa: ANN401
    """Return the files one by one; before datasets 4.5 each is an iterable of one."""
    if not isinstance(files, list):
        return []
    several = ((each,) if isinstance(each, str) or not isinstance(each, Iterable) else each for each in files)
    return [file for some in several for file in some]


def _opened(files: list[str]) -> tuple[Place, list[str]]:
    """Return the place of files, and their paths in it."""
    if files[0].startswith("hf://"):
        address, found, _ = files[0].partition("/data/")
        inside = [file.removeprefix(f"{address}/") for file in files]
        if found and all(path.startswith("data/") for path in inside):
            return open_place(address), inside
    else:
        for folder in Path(files[0]).absolute().parents:
            if (folder / MANIFEST).is_file():
                paths = [Path(file).absolute() for file in files]
                if all(path.is_relative_to(folder) for path in paths):
                    return open_place(folder), [path.relative_to(folder).as_posix() for path in paths]
    raise _refused(
        f"files such as {files[0]}", f"data files beside the {MANIFEST} that `so2sat build` writes"
    )


def _split_of(place: Place, paths: list[str], told: str) -> str:
    """Return the split that these files make up, called as the dataset calls it if it does."""
    manifest = place.manifest
    for name in manifest.split_names:
        if told in ("", name.rpartition("/")[2]) and {
            shard.path for shard in manifest.shards_of(name)
        } == set(paths):
            return name
    every = ", ".join(manifest.split_names)
    raise _refused(f"{len(paths)} files that make up no split", f"all files of one of {every}")


def _refused(found: str, expected: str) -> So2SatError:
    return So2SatError("streaming dataset", found=found, expected=expected, remedy=REMEDY)
