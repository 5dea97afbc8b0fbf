"""The page of all patches: complete, quiet, alone; filters count right, and a click tells of a patch."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
from click.testing import CliRunner
from pages_shown import shown

from so2sat_hf.cli import cli
from so2sat_hf.load.files import open_place
from so2sat_hf.maps.browse import browse_page, centres, pictures_of, sample
from so2sat_hf.maps.positions import Positions, positions_of
from so2sat_hf.maps.serve import serving

READY = "html[data-ready]"


def wait_for_picture(page: Any) -> None:
    """Wait for the picture of the card; the page's policy allows no waiting by code of others."""
    for _ in range(100):
        if page.evaluate("document.querySelector('#card img').naturalWidth") == 32:
            return
        page.wait_for_timeout(50)
    raise AssertionError("no picture came")


@pytest.fixture(scope="module")
def positions(built: Path) -> Positions:
    return positions_of(str(built))


@pytest.fixture(scope="module")
def page_of(built: Path, positions: Positions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("browse") / "browse.html"
    result = CliRunner().invoke(cli, ["browse", str(built), "-o", str(path), "--pictures", "40"])
    assert result.exit_code == 0, result.output
    return path


@pytest.mark.parametrize("width", [1280, 380])
def test_it_opens_without_a_network(browser: Any, page_of: Path, width: int) -> None:
    """No error, nothing from elsewhere, all patches counted, something drawn."""
    page, wrong = shown(browser, page_of, width)
    page.wait_for_selector(READY)

    assert wrong == []
    assert page.inner_text("#count") == "420"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("buffer.some((value) => value !== 0)")
    assert page.evaluate("outlines.length") > 1000


def test_filters_count_right(browser: Any, page_of: Path, positions: Positions) -> None:
    """By class, city, split and version, alone and together."""
    page, _ = shown(browser, page_of)
    page.wait_for_selector(READY)
    page.click("#none")
    page.check("#class-16")
    assert int(page.inner_text("#count")) == (positions.label == 16).sum()
    page.click("#all")
    page.select_option("#city", label="Munich")
    munich = positions.city == "munich"
    assert int(page.inner_text("#count")) == munich.sum()
    page.select_option("#version", label="random")
    page.select_option("#split", label="test")
    assert int(page.inner_text("#count")) == (munich & (positions.splits["random"] == "test")).sum()


def test_a_click_tells_of_a_patch(browser: Any, page_of: Path, positions: Positions) -> None:
    """The one that lies there, with its place, splits and picture."""
    page, wrong = shown(browser, page_of)
    page.wait_for_selector(READY)
    page.select_option("#city", label="Munich")
    page.wait_for_timeout(200)
    x, y = page.evaluate(
        "[[px, view.x, width], [py, view.y, height]].map(([p, c, s]) => "
        "(p[visible.indexOf(1)] - c) * view.scale + s / 2)"
    )
    page.mouse.click(x, y)

    text = page.inner_text("#card")
    row = int(np.flatnonzero(positions.ids == re.search(r"\w+/\d{6}", text)[0])[0])
    longitude, latitude = centres(positions)
    assert positions.city[row] == "munich"
    assert f"{longitude[row]:.4f}"[:-1] in text
    assert f"{latitude[row]:.4f}"[:-1] in text
    assert positions.splits["block"][row] in text
    shown_ids = page.evaluate("Object.keys(meta.pictures)")
    assert len(shown_ids) == 40
    find = "[...row.keys()].find((i) => `${meta.files[file[i]]}/${String(row[i]).padStart(6, '0')}` === id)"
    page.evaluate(f"id => show({find})", shown_ids[0])
    wait_for_picture(page)
    assert wrong == []


def test_a_server_shows_every_picture(browser: Any, built: Path, positions: Positions) -> None:
    """The same pictures as embedded ones; other paths are not there."""
    place = open_place(built)
    content = browse_page(positions, "<b>name", {}, server=True)
    with serving(content, place) as address:
        page, wrong = shown(browser, address)
        page.wait_for_selector(READY)
        page.evaluate("show(7)")
        wait_for_picture(page)
        assert wrong == []
        assert page.inner_text("h1") == "<b>name"
        with urlopen(f"{address}picture/testing_000004.png") as answer:
            assert answer.read() == pictures_of(["testing/000004"], place)["testing/000004"]
        for path in (
            "picture/testing_999999.png",
            "picture/../manifest.json",
            "picture/x.png",
            "manifest.json",
        ):
            with pytest.raises(HTTPError, match="404"):
                urlopen(address + path)


def test_the_sample_has_every_class(positions: Positions) -> None:
    """In turn, the same for one seed."""
    some = sample(positions, 17)
    labels = {int(positions.label[np.flatnonzero(positions.ids == name)[0]]) for name in some}
    assert labels == set(np.unique(positions.label).tolist())
    assert some == sample(positions, 17)
    assert some != sample(positions, 17, seed=1)
    assert len(sample(positions, 10_000)) == 420


def test_an_index_has_no_pictures(built: Path, tmp_path: Path) -> None:
    """The page is there all the same; --serve says what it needs."""
    index = str(built / "index")
    result = CliRunner().invoke(cli, ["browse", index, "-o", str(tmp_path / "b.html")])
    assert result.exit_code == 0, result.output
    assert "420 patches, 0 pictures" in result.stderr
    served = CliRunner().invoke(cli, ["browse", index, "--serve"])
    assert served.exit_code == 1
    assert "--serve: an index, which has no pixels" in served.stderr


def test_the_command_serves_until_it_is_interrupted(built: Path) -> None:
    """It prints an address that answers, and ends with Ctrl-C."""
    args = [sys.executable, "-c", "from so2sat_hf.cli import cli; cli()", "browse", str(built), "--serve"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        with urlopen(address) as answer:
            assert b"<canvas" in answer.read()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
