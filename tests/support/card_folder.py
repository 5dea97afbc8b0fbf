"""A built folder with its dataset card, and the card taken apart."""

import re
from dataclasses import replace

import pytest
import yaml

from so2sat_hf.assemble import extras, membership_of
from so2sat_hf.convert.build import build
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.hub import card
from so2sat_hf.hub.contents import PICTURE
from so2sat_hf.pages.classes import class_picture
from so2sat_hf.synthetic import write_raw, write_version_3


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Generated version 2 with 120 patches, and version 3 beside it."""
    folder = tmp_path_factory.mktemp("raw")
    write_raw(folder, train=70, validation=25, test=25, seed=5, geo="2026")
    write_version_3(folder, seed=5)
    return folder


@pytest.fixture(scope="module")
def out(raw, tmp_path_factory):
    """Everything a published folder has, with its card."""
    folder = tmp_path_factory.mktemp("card") / "out"
    source = open_raw(raw)
    more = replace(
        extras(source, membership_of(source)),
        page=card.page,
        pictures={PICTURE: class_picture},
    )
    build(source, folder, extras=more, jobs=1)
    return folder


def split_card(text):
    """YAML and page."""
    _, head, page = text.split("---\n", 2)
    return yaml.safe_load(head), page


def rows_of(page, heading):
    """Cells of the first table below a heading, its head first."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = re.search(r"(?:^\|.*\|$\n?)+", section, re.MULTILINE)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    return [row for row in rows if not set("".join(row)) <= set("-: ")]
