"""What a training leaves beside the weights: how the model came about, and its card. Needs no torch."""

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from so2sat_hf.convert.writing import write_bytes, write_text
from so2sat_hf.errors import FolderError
from so2sat_hf.hub.models import CARD
from so2sat_hf.pages.confusion_picture import confusion_picture
from so2sat_hf.training.card import PICTURE, model_card

RECORD = "so2sat.json"
REPORT = "report.json"
STATE = "trainer_state.json"
LIBRARIES = ("transformers", "torch", "datasets", "numpy")


def libraries() -> dict[str, str]:
    """Return the versions of the libraries that matter for a result."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def is_run(folder: Path) -> bool:
    """Whether a folder was written by ``so2sat train``."""
    return (folder / RECORD).is_file()


def is_finished(folder: Path) -> bool:
    """Whether a training came to its end there, test and card included."""
    return is_run(folder) and (folder / CARD).is_file()


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint of the most steps that was written to its end; None if there is none.

    A Trainer writes ``trainer_state.json`` last. What was killed before is passed over, and written anew.
    """
    complete = {}
    for path in folder.glob("checkpoint-*"):
        step = path.name.removeprefix("checkpoint-")
        try:
            json.loads((path / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if step.isdigit():
            complete[int(step)] = path
    return complete[max(complete)] if complete else None


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write how a model came about."""
    write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")


def write_card(folder: Path, repo_id: str | None = None) -> Path:
    """Write the model card of a run, and the picture in it.

    Args:
        folder: with ``so2sat.json``, and ``report.json`` if the model was tested.
        repo_id: where it is going to be on the Hub.

    Raises:
        FolderError: these files are missing or damaged.
    """
    record, report = _read(folder / RECORD), None
    if (folder / REPORT).is_file():
        report = _read(folder / REPORT)
    text = _rendered(folder, record, report, repo_id)
    if report is not None:
        write_bytes(folder / PICTURE, confusion_picture(report["confusion"]))
    write_text(folder / CARD, text)
    return folder / CARD


def address_card(folder: Path, repo_id: str) -> None:
    """Let the card of a run name its repository, unless somebody edited the card.

    Raises:
        FolderError: the files of the run are damaged.
    """
    card, report = folder / CARD, folder / REPORT
    if not is_run(folder) or not card.is_file():
        return
    plain = _rendered(
        folder, _read(folder / RECORD), _read(report) if report.is_file() else None, repo_id=None
    )
    if card.read_text(encoding="utf-8") == plain:
        write_card(folder, repo_id)


def _rendered(
    folder: Path, record: Mapping[str, Any], report: Mapping[str, Any] | None, repo_id: str | None
) -> str:
    try:
        return model_card(record, report, repo_id)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FolderError(
            folder,
            found=f"{RECORD} or {REPORT} of another form ({error!r})",
            expected="what `so2sat train` wrote",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(
            path, found=f"cannot be read ({error})", expected="what `so2sat train` wrote"
        ) from error
    if not isinstance(found, dict):
        raise FolderError(path, found=f"a {type(found).__name__}", expected="what `so2sat train` wrote")
    return found
