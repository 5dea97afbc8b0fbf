"""The card of a model: what the Hub reads in it, what people read, and the way there and back."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from huggingface_hub import ModelCard
from local_hub import LocalHub
from transformers import AutoImageProcessor, AutoModelForImageClassification

from so2sat_hf.cli import cli
from so2sat_hf.errors import FolderError
from so2sat_hf.hub.template import names
from so2sat_hf.training.card import TEMPLATE, model_card
from so2sat_hf.training.run import write_card

REPO = "maria/lcz-vit"


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_the_hub_reads_the_results(run: Path) -> None:
    """model-index as huggingface_hub parses it, with the numbers of the report."""
    card = ModelCard((run / "README.md").read_text())
    report = json.loads((run / "report.json").read_text())

    card.data.to_dict()
    results = {result.metric_name: result for result in card.data.eval_results}
    assert results["Overall accuracy"].metric_value == pytest.approx(report["metrics"]["oa"], abs=1e-4)
    assert results["Kappa"].metric_type == "cohen_kappa"
    assert results["Macro F1"].dataset_split == "test"
    assert results["Macro F1"].dataset_config == "culture_10"
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.license == "cc-by-4.0"
    assert card.data.datasets is None  # 420 generated patches are not the published dataset


def test_it_says_what_the_model_eats_and_what_it_is_worth(run: Path) -> None:
    """Bands with their numbers, classes, settings, limits; nothing is left open."""
    text = (run / "README.md").read_text()

    assert "| VH_lee | dB |" in text
    assert "| G Water |" in text
    assert "| `learning_rate` | 0.0005 |" in text
    assert "420 patches instead of 400,673" in text
    assert "two halves of the same ten cities" in text
    assert "${" not in text
    assert "None" not in text
    assert (run / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_the_published_data_are_named(run: Path) -> None:
    """Only where all patches were there, and by the id of the repository."""
    record, report = (json.loads((run / name).read_text()) for name in ("so2sat.json", "report.json"))
    record["data"]["rows"] = 400_673
    text = model_card(record, report, REPO)

    card = ModelCard(text)
    assert card.data.datasets == ["zhu-xlab/So2Sat-LCZ42"]
    assert card.data.eval_results[0].dataset_type == "zhu-xlab/So2Sat-LCZ42"
    assert card.data.model_name == "lcz-vit"
    assert f'repo = "{REPO}"' in text
    assert "not the published data" not in text


def test_a_model_that_started_from_another(run: Path) -> None:
    """Its licence is not ours to give; random splits are warned of; no test, no numbers."""
    record = json.loads((run / "so2sat.json").read_text())
    record["model"] |= {"base": "google/vit-base-patch16-224", "scratch": False}
    record["data"]["version"] = "random"
    record["best"] = None
    text = model_card(record, None)

    card = ModelCard(text)
    assert card.data.base_model == "google/vit-base-patch16-224"
    assert card.data.license is None
    assert "neighbours overlap" in text
    assert "What it is worth" not in text
    assert "chosen on validation" not in text.replace("what is chosen on validation", "")


def test_the_template_has_no_dead_ends() -> None:
    """Every value and flag that it names is given, in passages that are not shown, too."""
    from so2sat_hf.training import card

    template = Path(card.__file__).parents[1] / "hub" / "templates" / TEMPLATE
    values, flags = names(template.read_text())
    assert {"repo", "metrics", "citation"} <= values
    assert {"tested", "scratch", "published"} <= flags


def test_pushed_and_loaded_back_it_says_the_same(
    copy: Path, run: Path, hub: LocalHub, login: Callable[[str], None]
) -> None:
    """Model, processor with its code, card with the id of the repository; no pickle, no checkpoint."""
    login(hub.add_user("maria"))

    result = CliRunner().invoke(cli, ["push", str(copy), REPO])

    assert result.exit_code == 0, result.output
    tree = set(hub.repo(REPO, kind="model").tree("main"))
    assert {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"} <= tree
    assert {"image_processing.py", "report.html", "confusion.png"} <= tree
    assert not [name for name in tree if name.endswith((".bin", ".pt", ".parquet")) or "checkpoint" in name]
    assert f'repo = "{REPO}"' in (copy / "README.md").read_text()
    row = {"sen1": torch.rand(8, 32, 32) + 0.1, "sen2": torch.rand(10, 32, 32)}
    logits = []
    for place in (run, REPO):
        model = AutoModelForImageClassification.from_pretrained(place).eval()
        processor = AutoImageProcessor.from_pretrained(place, trust_remote_code=True)
        with torch.inference_mode():
            logits.append(model(**processor(row, return_tensors="pt")).logits)
    assert torch.equal(*logits)


def test_a_card_that_somebody_wrote_stays(copy: Path, hub: LocalHub, login: Callable[[str], None]) -> None:
    """Pushing names the repository in our card alone."""
    login(hub.add_user("maria"))
    mine = (copy / "README.md").read_text() + "\nA word of mine.\n"
    (copy / "README.md").write_text(mine)

    result = CliRunner().invoke(cli, ["push", str(copy), REPO])

    assert result.exit_code == 0, result.output
    assert (copy / "README.md").read_text() == mine


def test_damaged_records_are_one_clear_error(copy: Path) -> None:
    """Not a KeyError."""
    (copy / "report.json").write_text("{")
    with pytest.raises(FolderError, match=r"report\.json: cannot be read"):
        write_card(copy)
    (copy / "report.json").write_text('{"metrics": {}}')
    with pytest.raises(FolderError, match="of another form"):
        write_card(copy)
    (copy / "report.json").write_text("[]")
    with pytest.raises(FolderError, match="a list"):
        write_card(copy)


def test_the_example_is_as_rendered() -> None:
    """cards/model_card.md is what its record and report make; benchmarks/learning.py --render writes it."""
    cards = Path(__file__).parents[2] / "cards"
    made = json.loads((cards / "model_card.json").read_text())

    assert (cards / "model_card.md").read_text() == model_card(made["record"], made["report"])
    assert (cards / "confusion.png").read_bytes().startswith(b"\x89PNG")
