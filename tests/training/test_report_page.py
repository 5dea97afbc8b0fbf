"""The page of a report, as a browser shows it: complete, quiet, alone, and readable on a phone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages_shown import shown

from so2sat_hf import facts
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.split_rows import RowsOf
from so2sat_hf.pages import charts, html
from so2sat_hf.training.predictions import Predictions
from so2sat_hf.training.report import report_of
from so2sat_hf.training.report_page import report_page


@pytest.mark.parametrize("width", [1280, 360])
def test_a_browser_shows_it(browser: Any, run: Path, width: int) -> None:
    """No error, nothing from elsewhere, no sideways scrolling of the page, every picture drawn."""
    page, wrong = shown(browser, run / "report.html", width)

    assert wrong == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    pictures = page.evaluate("[...document.images].map(each => each.naturalWidth)")
    assert len(pictures) > 10
    assert min(pictures) > 0
    assert page.locator("h2").all_inner_texts() == [
        "Which class is taken for which", "Class by class", "City by city",
        "Is it as often right as it is sure?", "Worst mistakes", "Where it is right", "Every number",
    ]  # fmt: skip
    assert page.locator(".tile").count() == 6
    assert page.locator("table.confusion tr").count() == 19
    sizes = "[...document.querySelectorAll('p, td, th')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    assert min(page.evaluate(sizes)) >= 12


def test_it_says_what_the_report_says(browser: Any, run: Path) -> None:
    """Numbers of the page are those of report.json."""
    import json

    report = json.loads((run / "report.json").read_text())
    page, _ = shown(browser, run / "report.html", 1280)

    tiles = dict(
        zip(
            page.locator(".tile .name").all_inner_texts(),
            page.locator(".tile .value").all_inner_texts(),
            strict=True,
        )
    )
    assert tiles["Overall accuracy"] == f"{100 * report['metrics']['oa']:.1f}"
    assert tiles["Kappa"] == f"{100 * report['metrics']['kappa']:.1f}"
    row = page.locator("table.confusion tr").nth(1 + 16).locator("td").all_inner_texts()
    counts = report["confusion"][16]
    assert row[16] == f"{100 * counts[16] / sum(counts):.0f}"
    assert row[-1] == f"{sum(counts):,}"


def about(**changes: Any) -> dict[str, Any]:
    known = {
        "model": "m", "architecture": "ViT", "parameters": 1, "preset": "s2", "channels": 10, "size": 32,
        "data": "out", "digest": "0", "split": "test", "patches": 3, "date": "2026-01-01",
        "so2sat_hf": "0", "versions": {"torch": "1"},
    }  # fmt: skip
    return known | changes


def test_names_are_text_and_never_code(browser: Any, shards: Path, tmp_path: Path) -> None:
    """Model, data, ids and cities come from others."""
    evil = "<img src=x onerror=alert(1)>\"'"
    rows = RowsOf(
        [evil, "testing/000001", "testing/000002"],
        np.array([0, 1, 2]),
        [evil, evil, "rome"],
        np.zeros(3),
        np.zeros(3),
    )
    sure = np.full((3, 17), 0.05, np.float32)
    sure[:, 3] = 0.2
    predictions = Predictions(rows, sure)
    report = report_of(predictions, about(model=evil, data=evil, versions={evil: evil}))
    path = tmp_path / "report.html"
    pictures = patches(["testing/000000", "testing/000001", "testing/000002"], shards)
    path.write_text(report_page(report, predictions, pictures))

    page, wrong = shown(browser, path, 800)

    assert wrong == []
    assert page.locator("img[src='x']").count() == 0
    assert evil in page.inner_text("h1")


def test_without_places_and_pixels(tmp_path: Path) -> None:
    """Version 1 to 3 alone have no cities; a split of one class still makes a page."""
    rows = RowsOf(["testing/000000"], np.array([4]), None, None, None)
    predictions = Predictions(rows, np.eye(17, dtype=np.float32)[[4]])
    text = report_page(report_of(predictions, about()), predictions, None)

    assert "City by city" not in text
    assert "Worst mistakes" not in text
    assert "nan" not in text


def test_a_map_puts_patches_in_their_places() -> None:
    """North is up, east is right; two neighbours touch, one colour each."""
    metres = 1 / charts.METRES_PER_DEGREE
    pixels, wide, high = charts.accuracy_map(
        [0, 320 * metres, 0], [3200 * metres, 3200 * metres, 0], np.array([True, False, True])
    )

    step = pixels.shape[1] // 2
    assert (wide, high) == (pytest.approx(0.64), pytest.approx(3.52))
    assert pixels.shape[0] == pytest.approx(11 * step, abs=step)
    assert tuple(pixels[0, 0]) == charts.RIGHT
    assert tuple(pixels[0, -1]) == charts.WRONG
    assert tuple(pixels[-1, 0]) == charts.RIGHT
    assert tuple(pixels[-1, -1]) == charts.EMPTY


def test_confusion_names_what_was_taken_for_what() -> None:
    """Rows are the reference."""
    counts = np.zeros((17, 17), np.int64)
    counts[2, 9] = 3
    counts[2, 2] = 1
    text = charts.confusion(counts)

    assert 'title="LCZ 3 taken for LCZ 10: 3 of 4">75</td>' in text
    assert text.count("<td") == 17 * 19 + 19
    assert facts.classes()[2].color in text


def test_text_is_escaped() -> None:
    """Also inside attributes."""
    assert html.text("<'\">") == "&lt;&#x27;&quot;&gt;"
    assert html.share(float("nan")) == "-"
