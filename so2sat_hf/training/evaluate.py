"""What a fine-tuned model is worth: predictions, numbers, a page and a card, as files."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from so2sat_hf import __version__
from so2sat_hf.convert.patches import PatchBlock
from so2sat_hf.convert.table import NUM_BANDS
from so2sat_hf.convert.writing import placing, write_text
from so2sat_hf.errors import So2SatError
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.place import Place
from so2sat_hf.training.classifier import Classifier
from so2sat_hf.training.data import Splits
from so2sat_hf.training.predictions import Predictions
from so2sat_hf.training.report import Report, report_of
from so2sat_hf.training.report_page import report_page
from so2sat_hf.training.run import REPORT, libraries

PAGE, PREDICTIONS = "report.html", "predictions.parquet"


def evaluate(
    classifier: Classifier,
    splits: Splits,
    split: str,
    out: Path,
    *,
    progress: Callable[[int], None] | None = None,
    **options: Any,  # noqa: ANN401
) -> Report:
    """Predict a split and write what came out of it.

    Args:
        classifier: the model.
        splits: of the dataset.
        split: ``train``, ``validation`` or ``test``.
        out: folder of ``report.json``, ``report.html`` and ``predictions.parquet``; made if need be.
        progress: called with the patches done.
        options: ``batch_size``, ``device``, ``dtype`` of :meth:`Classifier.probabilities`.

    Raises:
        So2SatError: no such split, or one without the bands that the model shows.
        FolderError: the files cannot be written.
    """
    preset = classifier.preset
    check_bands(preset.sensors, splits.place)
    table = splits.table(split, (*preset.sensors, "label"))
    probabilities = classifier.probabilities(table, progress=progress, **options)
    predictions = Predictions(splits.rows_of(split), probabilities)
    about = about_of(classifier.model, classifier.name, preset, splits, split)
    return write_report(predictions, about, splits.place, out)


def check_bands(sensors: tuple[str, ...], place: Place) -> None:
    """Refuse data without the sensors that a model shows.

    Raises:
        So2SatError: one is missing.
    """
    missing = [sensor for sensor in sensors if sensor not in place.manifest.columns]
    if missing:
        raise So2SatError(
            place.name, found=f"no {missing[0]}", expected=f"{' and '.join(sensors)}, which the model eats",
            remedy="take another preset, or data with both sensors",
        )  # fmt: skip


def about_of(model: Any, name: str, preset: Any, splits: Splits, split: str) -> dict[str, Any]:  # noqa: ANN401
    """Return what a report is about, as plain values."""
    return {
        "model": name,
        "architecture": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "preset": preset.name,
        "channels": len(preset.slots),
        "size": preset.size,
        "data": splits.name_of_data,
        "digest": splits.place.digest,
        "format": splits.place.manifest.format_version,
        "version": splits.version,
        "split": splits.title(split),
        "patches": splits.rows(split),
        "date": datetime.now(UTC).date().isoformat(),
        "so2sat_hf": __version__,
        "versions": libraries(),
    }


def write_report(predictions: Predictions, about: Mapping[str, Any], place: Place, out: Path) -> Report:
    """Write predictions, numbers and page; return the numbers.

    Raises:
        FolderError: the files cannot be written.
    """
    report = report_of(predictions, about)
    text = json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n"
    page = report_page(report, predictions, _pictures(report, place))
    with placing(out / PREDICTIONS) as part:
        predictions.write(part)
    write_text(out / PAGE, page)
    write_text(out / REPORT, text)
    return report


def _pictures(report: Report, place: Place) -> PatchBlock | None:
    """Return the patches of the mistakes, with the pixels that are there."""
    columns = [sensor for sensor in NUM_BANDS if sensor in place.manifest.columns]
    ids = [mistake.id for mistake in report.mistakes]
    return patches(ids, place, columns=columns) if ids and columns else None
