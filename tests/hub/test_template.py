"""Templates of cards: what they name, and which passages stay."""

from pathlib import Path

import pytest

from so2sat_hf.hub import card, tables
from so2sat_hf.hub.contents import as_published
from so2sat_hf.hub.template import fill, names

TEMPLATE = Path(card.__file__).parent / "templates" / "dataset_card.md"


def test_the_template_names_what_it_is_given_and_nothing_else():
    """A value that nobody asks for is a fact that fell out of the card."""
    contents = as_published()
    values, flags = names(TEMPLATE.read_text())

    assert values == set(card.values_of(contents))
    assert flags == set(card.flags(contents))


def test_passages_of_a_template():
    template = "a\n<!-- if x -->\nb\n<!-- if not y -->\nc ${v}\n<!-- end -->\n<!-- end -->\nd\n"

    assert fill(template, {"v": "$1 <!-- end -->"}, {"x": True, "y": False}) == "a\nb\nc $1 <!-- end -->\nd\n"
    assert fill(template, {"v": ""}, {"x": True, "y": True}) == "a\nb\nd\n"
    assert fill(template, {"v": ""}, {"x": False, "y": False}) == "a\nd\n"


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("${other}", KeyError),
        ("<!-- if x -->\n${other}\n<!-- end -->", KeyError),
        ("<!-- if other -->\n<!-- end -->", KeyError),
        ("<!-- if x -->", ValueError),
        ("<!-- end -->", ValueError),
        ("5 $", ValueError),
    ],
)
def test_a_wrong_template_is_refused(template, error):
    """Also in passages that are not shown."""
    with pytest.raises(error):
        fill(template, {"v": ""}, {"x": False})


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (12, "12 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (999_999, "1.00 MB"),
        (16_743_000_000, "16.7 GB"),
    ],
)
def test_sizes_have_three_digits(num_bytes, text):
    assert tables.size(num_bytes) == text
