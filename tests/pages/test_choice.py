"""Which patches are chosen for a contact sheet."""

import numpy as np
import pytest
from made_patches import Listed, write_geo, write_h5

from so2sat_hf.convert.source import open_source
from so2sat_hf.errors import So2SatError
from so2sat_hf.pages.choice import Wish, choose, find_class

SIDE = 128  # 32 pixels, four times as large


@pytest.fixture
def raw(tmp_path):
    """A folder with 60 training and 20 testing patches of classes 0 to 9, and their positions."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for stem, num_rows in (("training", 60), ("testing", 20)):
        write_h5(folder / f"{stem}.h5", np.arange(num_rows) * 7 % 10)
        write_geo(folder / f"{stem}_geo.h5", num_rows)
    return folder


def test_without_a_filter_the_classes_take_turns():
    """Seventeen patches of a skewed split are one of each class, in the order of the classes."""
    source = Listed([*range(17), *[16] * 500])

    chosen = choose(source, Wish(count=17))

    assert source.block.label[list(chosen.rows)].tolist() == list(range(17))
    assert (chosen.num_matching, chosen.filters) == (517, "")


def test_every_class_gets_its_second_turn_before_a_third():
    """Forty of seventeen classes are two or three each, and no patch twice."""
    source = Listed(list(range(17)) * 30)

    chosen = choose(source, Wish(count=40))

    counts = np.bincount(source.block.label[list(chosen.rows)])
    assert set(counts) == {2, 3}
    assert len(set(chosen.rows)) == 40


def test_small_choices_do_not_always_show_the_same_classes():
    """Fewer patches than classes: chance decides which classes, so all are seen in the end."""
    source = Listed(list(range(17)) * 3)

    seen = {
        int(source.block.label[row])
        for seed in range(30)
        for row in choose(source, Wish(count=4, seed=seed)).rows
    }

    assert seen == set(range(17))


def test_a_seed_decides():
    """Same seed, same patches; another seed, others."""
    source = Listed(list(range(17)) * 30)

    assert choose(source, Wish(seed=3)) == choose(source, Wish(seed=3))
    assert choose(source, Wish(seed=3)) != choose(source, Wish(seed=4))


def test_the_order_of_the_rows_does_not_matter():
    """A built folder may hold the patches in another order: the ids chosen are the same."""
    labels = np.arange(300) * 7 % 17
    forward, backward = Listed(labels), Listed(labels[::-1])
    backward.block.ids.reverse()

    first, second = choose(forward, Wish(count=30)), choose(backward, Wish(count=30))

    assert [forward.block.ids[row] for row in first.rows] == [backward.block.ids[row] for row in second.rows]


def test_all_there_is_when_more_are_asked_for():
    """Three patches are three, whatever the count."""
    assert choose(Listed([5, 4, 5]), Wish(count=12)).rows == (1, 0, 2)


def test_labels_and_cities_filter_together():
    """Class and city both hold, and are said in words."""
    source = Listed([1, 16, 16, 16, 2], ["munich", "munich", "berlin", "munich", "berlin"])

    chosen = choose(source, Wish(label="water", city="Munich"))

    assert set(chosen.rows) == {1, 3}
    assert chosen.filters == "of LCZ G Water in Munich"
    assert choose(source, Wish(city="berl")).filters == "in Berlin"


def test_choosing_reads_no_pixels():
    """Only the chosen rows are read with their pixels."""
    source = Listed(list(range(17)) * 30)

    choose(source, Wish())

    assert source.rows_with_pixels == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("10", "10"), ("1", "1"), ("a", "A"), ("G", "G"), ("LCZ 7", "7"), ("lczb", "B"), ("water", "G"),
        ("open mid", "5"), ("Open mid-rise", "5"), ("OPEN MIDRISE", "5"), ("rock", "E"), ("sand", "F"),
    ],
)  # fmt: skip
def test_a_class_is_found_by_code_or_name(text, code):
    """Codes, names and unambiguous parts, in any case."""
    assert find_class(text).code == code


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("17", "no such class"), ("0", "no such class"), ("", "no such class"), ("-", "no such class"),
        ("ice", "no such class"), ("trees", "may be Dense trees or Scattered trees"),
    ],
)  # fmt: skip
def test_other_words_list_the_classes(text, found):
    """An index is not a code, and an ambiguous part is not guessed at."""
    with pytest.raises(So2SatError) as caught:
        find_class(text)

    assert str(caught.value).startswith(f"--label {text}: {found}; expected one of 1 Compact high-rise, ")
    assert str(caught.value).endswith("G Water")


@pytest.mark.parametrize("text", ["newyork", "New York", "NEW YORK", "new-york", "york"])
def test_a_city_is_found_by_key_or_name(text):
    """Key, name or an unambiguous part."""
    assert choose(Listed([1, 1], ["newyork", "berlin"]), Wish(city=text)).rows == (0,)


def test_a_city_is_found_with_and_without_accents():
    """São Paulo may be typed either way."""
    source = Listed([1, 1], ["saopaulo", "berlin"])

    assert choose(source, Wish(city="São Paulo")) == choose(source, Wish(city="sao paulo"))


@pytest.mark.parametrize(
    ("wish", "labels", "cities", "message"),
    [
        (
            Wish(city="paris"),
            [1],
            ["berlin"],
            r"--city paris: not in train; expected one of berlin\n.*--split",
        ),
        (
            Wish(city="e"),
            [1, 1],
            ["berlin", "rome"],
            "--city e: may be Berlin or Rome; expected one of berlin, rome",
        ),
        (Wish(city="paris"), [1], None, "--city: the source has no geolocation"),
        (Wish(label="water"), [1, 4], None, "no patch of LCZ G Water; expected one of LCZ 2 .*, LCZ 5"),
        (Wish("test"), [1], None, "split test: not in the source; expected one of train"),
        (Wish(), [], None, "split: no patch in the source"),
    ],
)
def test_what_is_not_there_is_said(wish, labels, cities, message):
    """Each refusal names what there is instead."""
    with pytest.raises(So2SatError, match=message):
        choose(Listed(labels, cities), wish)


def test_a_class_without_patches_in_the_city_names_those_with(raw):
    """Filters that exclude each other say so."""
    with pytest.raises(
        So2SatError, match=r"train: no patch of LCZ G Water in Munich; expected one of LCZ 1 "
    ):
        choose(open_source(raw), Wish(label="G", city="munich"))
