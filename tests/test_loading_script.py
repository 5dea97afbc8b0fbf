"""The loading script: datasets before version 4 gets every config, value for value; 5.2 refuses it."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from datasets import load_dataset
from every_config import CONFIGS, summary

from so2sat_hf.so2sat_lcz42 import So2SatLCZ42
from so2sat_hf.synthetic import write_raw, write_version_3

FOLDER = Path(__file__).parents[1] / "loading_script"
SCRIPT = FOLDER / "so2sat_lcz42.py"
EVERY_CONFIG = Path(__file__).parent / "support" / "every_config.py"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loading_script") / "raw"
    write_raw(folder, train=40, validation=12, test=10, seed=8)
    write_version_3(folder, seed=8)
    return folder


@pytest.fixture(scope="module")
def expected(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, object]:
    """What the builder gives here."""
    cache = tmp_path_factory.mktemp("cache")
    found = {}
    for config in CONFIGS:
        builder = So2SatLCZ42(config_name=config, data_dir=str(raw), cache_dir=str(cache))
        builder.download_and_prepare()
        found[config] = json.loads(json.dumps(summary(builder.as_dataset())))
    return found


def test_every_config_of_the_builder_is_compared(expected: Mapping[str, dict]) -> None:
    """None is forgotten, and every split has rows."""
    assert list(CONFIGS) == sorted(So2SatLCZ42.builder_configs, key=list(CONFIGS).index)
    rows = {
        name: {split: part["rows"] for split, part in splits.items()} for name, splits in expected.items()
    }
    assert rows["culture_10"] == rows["rgb"] == {"train": 40, "validation": 12, "test": 10}
    assert rows["v1"] == {"train": 40, "validation": 12}
    assert rows["culture_10_v3"] == {"train": 40, "test": 22}
    assert sum(rows["random"].values()) == sum(rows["block"].values()) == 62


@pytest.mark.parametrize("version", ["3.6.0", "2.21.0"])
def test_datasets_before_version_4_gets_the_same(
    raw: Path, expected: Mapping[str, dict], tmp_path: Path, version: str
) -> None:
    """Map style (one process and two) and streaming: columns, types and all values as with datasets 5.2."""
    variable = f"SO2SAT_PYTHON_DATASETS_{version.replace('.', '_')}"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} does not name a Python with datasets {version}; .ci/run makes one")
    environment = {**os.environ, "HF_HOME": str(tmp_path), "PYTHONPATH": ""}

    args = [python, str(EVERY_CONFIG), str(SCRIPT), str(raw)]
    done = subprocess.run(args, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["version"] == version
    for config in CONFIGS:
        for way in ("map", "stream"):
            assert found["configs"][config][way] == expected[config], f"{config}, {way}"
    # The class is one of the copied script, so that locks stay in the cache of datasets.
    assert found["module"].startswith("datasets_modules.datasets.so2sat_lcz42.")
    assert "Repo card metadata block was not found" not in done.stderr


def test_datasets_from_version_4_on_refuses_it_as_the_readme_says(raw: Path) -> None:
    """By path; the words are those in loading_script/README.md."""
    with pytest.raises(RuntimeError) as error:
        load_dataset(str(SCRIPT), "culture_10", data_dir=str(raw))

    assert str(error.value) == "Dataset scripts are no longer supported, but found so2sat_lcz42.py"
    assert f"RuntimeError: {error.value}" in (FOLDER / "README.md").read_text()


def test_at_the_root_of_a_repository_it_would_stop_everybody(tmp_path: Path) -> None:
    """Why it must not go there: a script named like the folder hides the data beside it."""
    repository = tmp_path / "So2Sat-LCZ42"
    repository.mkdir()
    (repository / "train.csv").write_text("label\n1\n")
    assert len(load_dataset(str(repository), split="train")) == 1

    shutil.copy(SCRIPT, repository / "So2Sat-LCZ42.py")

    with pytest.raises(RuntimeError, match=r"no longer supported, but found So2Sat-LCZ42\.py"):
        load_dataset(str(repository), split="train")


@pytest.mark.parametrize("release", ["3.6", "2.21"])
def test_requirements_pin_the_release_that_is_tested(release: str) -> None:
    """The environments of CI are made from these files."""
    lines = (FOLDER / f"requirements-{release}.txt").read_text().splitlines()

    assert f"datasets=={release}.0" in lines
