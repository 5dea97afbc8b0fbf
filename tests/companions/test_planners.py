"""What goes beside the data: chosen by name, kept or replaced on a rerun, left out where it cannot be."""

from pathlib import Path

import pytest
from datasets import load_dataset
from folders import published

from so2sat_hf.assemble import extras
from so2sat_hf.companions.planners import planners
from so2sat_hf.convert.build import BuildReport, build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.errors import So2SatError


def made(
    source: RawSource, out: Path, *companions: str, stretch: str = "tfds", columns: tuple[str, ...] = ()
) -> BuildReport:
    more = extras(source, companions=companions, stretch=stretch)
    return build(source, out, BuildOptions(columns=columns), extras=more, jobs=1)


def test_data_is_not_written_again_for_other_companions(source: RawSource, tmp_path: Path) -> None:
    """Adding, leaving out and changing one: only its own files."""
    out = tmp_path / "out"
    assert made(source, out, "index").written == 3 + 3
    assert made(source, out, "index", "rgb").written == 3
    before = published(out)
    report = made(source, out, "rgb")
    assert (report.written, [plan.name for plan in report.manifest.companions]) == (0, ["rgb"])
    assert not (out / "index").exists()
    assert made(source, out, "index", "rgb").written == 3
    assert published(out) == before


def test_another_stretch_makes_other_pictures(source: RawSource, tmp_path: Path) -> None:
    """And back again: the first ones, byte for byte."""
    out = tmp_path / "out"
    made(source, out, "rgb")
    before = published(out)
    assert made(source, out, "rgb", stretch="percentile").written == 3
    assert published(out)["rgb/train-00000-of-00001.parquet"] != before["rgb/train-00000-of-00001.parquet"]
    assert made(source, out, "rgb").written == 3
    assert published(out) == before


def test_a_companion_nobody_knows_is_refused() -> None:
    """With the names that exist."""
    with pytest.raises(So2SatError, match="no companion 'pictures'; expected index, rgb, mini"):
        planners(("pictures",))


def test_without_optical_bands_there_are_no_pictures(source: RawSource, tmp_path: Path) -> None:
    """The rest is there."""
    report = made(source, tmp_path / "out", "index", "rgb", "mini", columns=("sen1", "label"))

    assert [plan.name for plan in report.manifest.companions] == ["index", "mini"]
    assert not (tmp_path / "out/rgb").exists()


def test_without_geolocation_the_index_has_no_places(source: RawSource, raw: Path, tmp_path: Path) -> None:
    """Still plain Parquet with membership, file and row."""
    made(open_raw(raw, drop_geo=True), tmp_path / "out", "index", "rgb")

    index = load_dataset(str(tmp_path / "out"), "index", split="test")
    assert {"id", "label", "file", "row", "m_so2sat", "mean_B02"} <= set(index.features)
    assert not {"geometry", "bbox", "city"} & set(index.features)


def test_rows_of_the_publisher_s_rasters_survive_a_rebuild(tmp_path: Path) -> None:
    """From the geo files of 2025, then from the built folder."""
    from so2sat_hf.convert.built import open_built
    from so2sat_hf.synthetic import write_raw

    write_raw(tmp_path / "raw", train=40, validation=20, test=10, seed=1, geo="2025")
    made(open_raw(tmp_path / "raw"), tmp_path / "a", "index")
    built = open_built(tmp_path / "a")
    build(built, tmp_path / "b", extras=extras(built, companions=("index",)), jobs=1)

    a, b = (load_dataset(str(tmp_path / name), "index", split="train") for name in "ab")
    assert a["sen2_col"] == b["sen2_col"]
    files = [tmp_path / name / "index/train.parquet" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_interrupted_change_of_pictures_leaves_no_mixture(
    source: RawSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another stretch, stopped in the middle, then the first one again."""
    from so2sat_hf.convert import build as build_module
    from so2sat_hf.convert.verify import verify

    out = tmp_path / "out"
    made(source, out, "rgb")
    before, real, calls = published(out), build_module.write_file, []

    def failing(task: object) -> object:
        calls.append(task)
        if len(calls) == 2:
            raise So2SatError("out", found="interrupted")
        return real(task)

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "write_file", failing)
        with pytest.raises(So2SatError, match="interrupted"):
            made(source, out, "rgb", stretch="percentile")

    assert made(source, out, "rgb").written == 0
    assert published(out) == before
    assert verify(out, jobs=1).problems == ()
