"""What a model is worth: the same numbers by every way, for models of ours and of others."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from hub_folders import put
from local_hub import LocalHub
from tiny_models import tiny
from transformers import AutoImageProcessor, AutoModelForImageClassification

from so2sat_hf import facts
from so2sat_hf.cli import cli
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.load.by_id import patches
from so2sat_hf.load.files import open_place
from so2sat_hf.load.split_rows import rows_of
from so2sat_hf.training.classifier import class_order, open_classifier
from so2sat_hf.training.data import open_data, splits_of
from so2sat_hf.training.evaluate import evaluate
from so2sat_hf.training.metrics import by_group, from_predictions
from so2sat_hf.training.predictions import Predictions
from so2sat_hf.training.report import worst_mistakes


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    table = pq.read_table(folder / "predictions.parquet").to_pydict()
    return json.loads((folder / "report.json").read_text()), table


def test_predictions_are_those_of_plain_transformers(run: Path, parquet: Path) -> None:
    """Model and processor as anybody opens them, a row of the dataset in, the same probabilities out."""
    _, table = read(run)
    model = AutoModelForImageClassification.from_pretrained(run).eval()
    processor = AutoImageProcessor.from_pretrained(run, trust_remote_code=True)
    ids = table["id"][::7]
    block = patches(ids, parquet)
    rows = [{"sen1": block.sen1[i], "sen2": block.sen2[i]} for i in range(len(ids))]

    with torch.inference_mode():
        logits = model(**processor(rows, return_tensors="pt")).logits

    found = torch.softmax(logits, dim=-1).numpy()
    assert np.abs(found - np.array(table["probabilities"][::7])).max() < 1e-4
    assert table["prediction"] == np.argmax(table["probabilities"], axis=1).tolist()
    assert block.label.tolist() == table["label"][::7]


def test_every_number_follows_from_the_predictions(run: Path, shards: Path) -> None:
    """Whoever has predictions.parquet can check the report."""
    report, table = read(run)
    labels, sure = np.array(table["label"]), np.array(table["probabilities"])

    for name, value in from_predictions(labels, sure).items():
        assert report["metrics"][name] == pytest.approx(value, abs=1e-6), name
    rows = rows_of(open_place(shards), "test")
    assert rows.ids == table["id"]
    cities = by_group(labels, np.array(table["prediction"]), rows.city)
    assert {city["city"]: city["oa"] for city in report["cities"]} == {
        name: pytest.approx(each.metrics()["oa"]) for name, each in cities.items()
    }
    assert report["worst_city"] == min(report["cities"], key=lambda city: city["oa"])["city"]
    assert np.array(report["confusion"]).sum() == report["patches"] == 70
    low, high = report["intervals"]["oa"]
    assert low <= report["metrics"]["oa"] <= high


def test_the_command_repeats_what_training_found(run: Path, shards: Path, tmp_path: Path) -> None:
    """Same model, same split: the same report, and the card says so."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for name in ("report.json", "report.html", "predictions.parquet", "README.md"):
        (copy / name).unlink()

    result = CliRunner().invoke(cli, ["evaluate", str(copy), "--data", str(shards), "--device", "cpu"])

    assert result.exit_code == 0, result.output
    mine, theirs = read(run), read(copy)
    assert mine[1]["prediction"] == theirs[1]["prediction"]
    assert np.abs(np.array(mine[1]["probabilities"]) - np.array(theirs[1]["probabilities"])).max() < 1e-5
    assert mine[0]["confusion"] == theirs[0]["confusion"]
    assert "Overall accuracy" in result.stdout
    assert f"{copy / 'report.html'}\n{copy / 'README.md'}\n" in result.stdout
    assert (copy / "README.md").read_text().splitlines()[-20:] == (
        run / "README.md"
    ).read_text().splitlines()[-20:]


def test_other_splits_go_into_folders_of_their_own(run: Path, shards: Path, tmp_path: Path) -> None:
    """The report of test stays."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    before = (copy / "report.json").read_bytes()

    result = CliRunner().invoke(
        cli, ["evaluate", str(copy), "--data", str(shards), "--split", "validation", "--bf16"]
    )

    assert result.exit_code == 0, result.output
    assert (copy / "report.json").read_bytes() == before
    assert read(copy / "validation")[0]["patches"] == 90


def test_the_data_may_lie_anywhere(
    run: Path, shards: Path, parquet: Path, raw: Path, hub: LocalHub, tmp_path: Path
) -> None:
    """Arrow, Parquet, a dataset on the Hub, HDF5 files: one result."""
    put(hub, parquet, "maria/lcz")
    found = {}
    for name, data in {"arrow": shards, "parquet": parquet, "hub": "maria/lcz", "hdf5": raw}.items():
        place = open_data(str(data))
        classifier = open_classifier(str(run), place)
        evaluate(classifier, splits_of(place), "test", tmp_path / name)
        found[name] = read(tmp_path / name)[1]

    for name in ("parquet", "hub", "hdf5"):
        assert found[name]["id"] == found["arrow"]["id"]
        difference = np.array(found[name]["probabilities"]) - np.array(found["arrow"]["probabilities"])
        assert np.abs(difference).max() < 1e-5


def test_hdf5_files_are_converted_once(raw: Path, hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    """Minutes with the published files: the second time they are there."""
    first = open_data(str(raw))
    assert "Converting" in capsys.readouterr().err
    assert open_data(str(raw)) == first
    assert "Converting" not in capsys.readouterr().err


def test_a_classifier_of_somebody_else(shards: Path, tmp_path: Path) -> None:
    """Any order of the classes, as long as they are named; what it eats must be said."""
    model = tiny("vit", num_channels=10, image_size=32, patch_size=8)
    model.save_pretrained(tmp_path / "plain")
    order = np.random.default_rng(0).permutation(17)
    named = tiny("vit", num_channels=10, image_size=32, patch_size=8)
    named.load_state_dict(model.state_dict())
    named.classifier.weight.data = model.classifier.weight.data[torch.from_numpy(order)]
    named.classifier.bias.data = model.classifier.bias.data[torch.from_numpy(order)]
    named.config.id2label = {
        number: f"LCZ {facts.classes()[index].code}" for number, index in enumerate(order)
    }
    named.save_pretrained(tmp_path / "named")
    place = open_data(str(shards))
    table = splits_of(place).table("test", ("sen2", "label"))

    found = [
        open_classifier(str(tmp_path / name), place, "s2").probabilities(table, batch_size=32)
        for name in ("plain", "named")
    ]

    assert np.abs(found[0] - found[1]).max() < 1e-6
    with pytest.raises(So2SatError, match=r"no So2SatImageProcessor saved with it.*\n.*--preset names it"):
        open_classifier(str(tmp_path / "plain"), place)
    with pytest.raises(So2SatError, match="10 channels; expected 3"):
        open_classifier(str(tmp_path / "plain"), place, "rgb")
    with pytest.raises(So2SatError, match="cannot be loaded"):
        open_classifier(str(tmp_path / "nowhere"), place, "s2")


@pytest.mark.parametrize(
    "labels",
    [
        facts.class_names(),
        [name.lower().replace("-", "_") for name in facts.class_names()],
        [lcz.code for lcz in facts.classes()],
        [f"LABEL_{number}" for number in range(17)],
    ],
)
def test_classes_are_known_by_name(labels: list[str]) -> None:
    """In any order and spelling."""
    turned = dict(enumerate(reversed(labels)))
    assert class_order(turned) == tuple(range(16, -1, -1))


def test_other_classes_are_refused() -> None:
    """Rather than counted as if they were ours."""
    for labels in (
        ["forest", "river"],
        [*facts.class_names()[:16], "cloud"],
        [f"LABEL_{i}" for i in range(10)],
    ):
        with pytest.raises(
            So2SatError, match=f"{len(labels)} classes: .*expected the 17 local climate zones"
        ):
            class_order(dict(enumerate(labels)), "theirs")


def test_mistakes_are_the_surest_and_of_many_kinds() -> None:
    """Each pair of classes twice at most, right ones never."""
    rows = rows_like(np.array([0, 0, 0, 0, 5, 6]))
    sure = np.full((6, 17), 0.01, np.float32)
    for row, (said, probability) in enumerate(
        [(1, 0.9), (1, 0.8), (1, 0.95), (0, 0.99), (2, 0.6), (6, 0.84)]
    ):
        sure[row] = (1 - probability) / 16
        sure[row, said] = probability

    found = worst_mistakes(Predictions(rows, sure))

    assert [mistake.id for mistake in found] == ["testing/000002", "testing/000000", "testing/000004"]
    assert found[0].prediction == 1
    assert found[0].probability == pytest.approx(0.95)
    assert len(worst_mistakes(Predictions(rows, sure), count=1)) == 1


def rows_like(labels: np.ndarray) -> Any:
    from so2sat_hf.load.split_rows import RowsOf

    return RowsOf([f"testing/{row:06d}" for row in range(len(labels))], labels, None, None, None)


def test_what_cannot_be_is_said(run: Path, shards: Path, tmp_path: Path) -> None:
    """Thing, found, expected; exit code 1."""
    place = open_data(str(shards))
    with pytest.raises(So2SatError, match=r"version 'random': not in .*; expected culture_10"):
        splits_of(place, "random")
    with pytest.raises(
        So2SatError, match=r"split 'holdout': not in .*; expected train or validation or test"
    ):
        splits_of(place).name("holdout")
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="file"):
        evaluate(open_classifier(str(run), place), splits_of(place), "test", tmp_path / "file" / "out")
    for args, message in (
        ([str(run), "--data", str(tmp_path)], "manifest.json"),
        ([str(tmp_path / "nowhere"), "--data", str(shards)], "cannot be loaded"),
        ([str(run), "--data", str(shards), "--device", "gpu0"], "device 'gpu0': "),
    ):
        result = CliRunner().invoke(cli, ["evaluate", *args])
        assert result.exit_code == 1
        assert message in result.stderr
