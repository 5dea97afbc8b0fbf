"""Measured statistics beside the published ones: every digit that was published counts, and no other."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from so2sat_hf import facts
from so2sat_hf.companions import published
from so2sat_hf.companions.summary import SplitStatistics, Statistics, Summary
from so2sat_hf.errors import So2SatError


def as_published(*keys: str, rows: int = 100) -> Statistics:
    """Statistics of splits whose numbers are the published ones."""
    splits = {}
    for key in keys:
        numbers = facts.statistics(key)
        bands = {
            band: Summary(
                "", 1024, mean, numbers.std[band], numbers.min.get(band, 0), numbers.max.get(band, 1), {}
            )
            for band, mean in numbers.mean.items()
        }
        class_rows = (numbers.rows or rows, *[0] * 16)
        bands = {band: replace(summary, count=class_rows[0] * 1024) for band, summary in bands.items()}
        splits[published.PUBLISHED[key][0]] = SplitStatistics((), class_rows, bands, {})
    return Statistics("culture_10", 400_673, {}, splits)


def changed(found: Statistics, band: str, **numbers: float) -> Statistics:
    """Put other numbers into the first split."""
    name, split = next(iter(found.splits.items()))
    bands = {**split.bands, band: replace(split.bands[band], **numbers)}
    return replace(found, splits={**found.splits, name: replace(split, bands=bands)})


def test_every_published_key_is_compared() -> None:
    """Nothing in the facts is left out."""
    known = set(json.loads((Path(facts.__file__).parent / "statistics.json").read_text()))

    assert {*published.PUBLISHED, published.POOLED} == known


def test_published_numbers_agree_with_themselves() -> None:
    """Those of the three files of version 2, joined, are the pooled ones that somebody else published."""
    found = as_published(*published.PUBLISHED)

    comparisons = {comparison.key: comparison for comparison in published.compare(found)}

    assert set(comparisons) == {*published.PUBLISHED, "pooled"}
    assert all(comparison.is_right for comparison in comparisons.values())
    assert len(comparisons["2/training"].differences) == 18 * 4  # with the extremes
    assert len(comparisons["3/block/training"].differences) == 18 * 2
    assert len(comparisons["pooled"].differences) == 10 * 2


@pytest.mark.parametrize(
    ("band", "numbers"),
    [
        ("B02", {"mean": 0.12375696117681 + 1e-9}),
        ("B02", {"std": 0.03958795 + 2.5e-7}),
        ("VH_imag", {"mean": -7.658561276843e-06 - 2e-10}),
        ("VV_lee", {"std": 8.32480061 - 2.5e-7}),
        ("B12", {"max": 2.8001}),
        ("VH_lee", {"min": 2.4e-05}),
    ],
)
def test_a_number_that_differs_is_found(band: str, numbers: dict[str, float]) -> None:
    """Beyond the digits that were published and what order of summation explains."""
    (comparison,) = published.compare(changed(as_published("2/training"), band, **numbers))

    wrong = [(each.band, each.measure) for each in comparison.differences if each.is_off]
    assert wrong == [(band, *numbers)]
    assert not comparison.is_right


def test_a_trailing_zero_is_a_published_digit() -> None:
    """The deviation of B08 is published as 0.0899500, which is stored as 0.08995."""
    found = changed(as_published("3/block/training"), "B08", std=0.089952)

    (comparison,) = published.compare(found)

    assert [each.band for each in comparison.differences if each.is_off] == ["B08"]


@pytest.mark.parametrize(
    ("band", "numbers"),
    [("B02", {"std": 0.039587954}), ("VV_lee", {"std": 8.324800618}), ("VV_lee", {"max": 12702.134765625})],
)
def test_digits_that_were_not_published_do_not_count(band: str, numbers: dict[str, float]) -> None:
    """Whether the last one was rounded or cut off."""
    (comparison,) = published.compare(changed(as_published("2/training"), band, **numbers))

    assert comparison.is_right


def test_other_patches_are_not_compared() -> None:
    """Neither where the rows are published, nor where only those of all versions together are."""
    names = {key: published.PUBLISHED[key][0] for key in ("2/validation", "3/block/training")}
    found = as_published(*names)
    split = found.splits["culture_10", "validation"]
    fewer = replace(
        found,
        source_rows=4_000,
        splits={**found.splits, ("culture_10", "validation"): replace(split, class_rows=(400,) * 17)},
    )

    validation, block = published.compare(fewer)

    assert validation.obstacle == "6,800 patches, published are 24,119"
    assert block.obstacle == "4,000 patches in all versions, published are 400,673"
    assert not validation.differences + block.differences
    assert not any(comparison.is_right for comparison in (validation, block))


def test_nothing_published_is_said() -> None:
    """The test split of block has no published numbers."""
    found = as_published("3/block/training")
    only_test = replace(found, splits={("block", "test"): found.splits["block", "train"]})

    with pytest.raises(So2SatError, match="block/test: no published statistics; expected at least one of"):
        published.compare(only_test)
