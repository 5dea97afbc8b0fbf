"""Models learn what there is to learn, and nothing where there is nothing: fifteen minutes on two cores."""

import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.full
def test_a_small_model_comes_near_the_ideal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """80 % of what the generator's own law allows; two sensors beat one; shuffled labels give chance."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    results, _ = runpy.run_path(str(BENCHMARKS / "learning.py"))["run_all"](tmp_path)
    one, two, none = (
        results["cases"][name] for name in ("Sentinel-2", "both sensors", "both sensors, shuffled labels")
    )
    print(results, file=sys.stderr)

    assert two["share"] >= 0.8
    assert one["share"] >= 0.8
    assert two["oa"] > one["oa"] + 0.01
    assert none["oa"] < none["ideal"] + 0.02
    assert max(one["minutes"], two["minutes"]) < 10
