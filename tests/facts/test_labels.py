"""One class, many names: they agree with each other."""

import numpy as np
import pytest

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError
from so2sat_hf.facts.labels import convert, groupings, palette, palettes, schemes


def test_every_scheme_leads_to_every_other_and_back() -> None:
    """Seventeen different values each."""
    for source, values in schemes().items():
        assert len(set(values)) == 17
        for target in schemes():
            there = convert(values, source, target)
            assert tuple(there.tolist()) == schemes()[target]
            assert tuple(convert(there, target, source).tolist()) == values


def test_known_names() -> None:
    """Heavy industry is 10, trees are A, 11 and 101, water is G, 17 and 107."""
    assert convert([[9, 10], [16, 0]], "index", "code").tolist() == [["10", "A"], ["G", "1"]]
    assert convert(np.array([10, 11, 17]), "number", "wudapt").tolist() == [10, 101, 107]
    with pytest.raises(So2SatError, match="scheme number: 18"):
        convert([1, 18], "number", "index")
    with pytest.raises(So2SatError, match="'roman': unknown; expected index or code"):
        convert([1], "index", "roman")


def test_groups_hold_every_class_once() -> None:
    """And built is what facts call built."""
    for name, row in facts.group_tables().items():
        members = [index for group in row["members"] for index in group]
        assert sorted(members) == list(range(17)), name
        assert len(row["names"]) == len(row["members"])
    built = groupings()["built_natural"]
    assert [built.names[group] == "Built" for group in built.group_of] == [
        lcz.built for lcz in facts.classes()
    ]


def test_palettes_have_seventeen_colours() -> None:
    """The standard one is that of the classes."""
    for each in palettes().values():
        assert len(set(each.colors)) == 17
        assert all(0 <= channel <= 255 for color in each.rgb for channel in color)
    assert palette().colors[16] == facts.classes()[16].color
    assert palette("so2sat_demo").rgb[0] == (165, 0, 33)
    with pytest.raises(So2SatError, match="palette 'red'"):
        palette("red")
