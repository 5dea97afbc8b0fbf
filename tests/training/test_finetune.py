"""The script: from a folder to a model and its test, and what it refuses before anything begins."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from trained import train_args
from transformers import AutoImageProcessor, AutoModelForImageClassification

from so2sat_hf.cli import cli
from so2sat_hf.errors import FolderError, So2SatError
from so2sat_hf.training.arguments import parse
from so2sat_hf.training.finetune import main
from so2sat_hf.training.run import newest_checkpoint


@pytest.mark.parametrize("feed", ["table", "stream", "resident"])
def test_from_a_folder_to_a_tested_model(feed: str, shards: Path, tmp_path: Path) -> None:
    """Trained, chosen on validation, tested once; the folder opens without this package's classes."""
    metrics = main(train_args(shards, tmp_path / "run", feed=feed, mixup=0.2, class_weights="sqrt"))

    assert 0 < metrics["test_oa"] < 1
    saved = json.loads((tmp_path / "run" / "test_results.json").read_text())
    assert saved["test_kappa"] == metrics["test_kappa"]
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "run")
    processor = AutoImageProcessor.from_pretrained(tmp_path / "run", trust_remote_code=True)
    pixels = processor(torch.rand(10, 32, 32), return_tensors="pt")
    assert model(**pixels).logits.shape == (1, 17)
    assert json.loads((tmp_path / "run" / "so2sat.json").read_text())["preset"]["name"] == "rgb"
    with pytest.raises(FolderError, match="a finished run"):
        main(train_args(shards, tmp_path / "run", feed=feed))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "feed": ({"feed": "disk"}, "--feed: disk; expected table or stream or resident"),
    "freeze": ({"freeze": True}, "--freeze: a model from scratch"),
    "init": ({"init": "mean"}, "--init: no effect"),
    "layer decay": ({"layer_decay": 0}, "--layer_decay: 0.0"),
    "smoothing": ({"label_smoothing": 1}, "--label_smoothing: 1.0"),
    "theirs": ({"label_smoothing_factor": 0.1}, "--label_smoothing_factor: no effect"),
    "weights": ({"class_weights": "cube"}, "--class_weights: cube; expected none or inverse or sqrt"),
    "mixup": ({"mixup": -1}, "--mixup: -1.0"),
    "size": ({"image_size": 4}, "--image_size: 4"),
    "workers": ({"feed": "stream", "dataloader_num_workers": 2}, "no effect on --feed stream"),
    "decay of frozen": (
        {"model": "some/model", "freeze": True, "layer_decay": 0.5},
        "--layer_decay: no effect; expected no --freeze",
    ),
    "transformers": ({"eval_strategy": "sometimes"}, "arguments: .*sometimes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_arguments_that_cannot_be(what: str, tmp_path: Path) -> None:
    """Said before data are looked at."""
    options, message = REFUSED[what]
    with pytest.raises(So2SatError, match=message):
        parse(train_args(tmp_path, tmp_path / "run", **options))


def test_models_and_data_that_are_not_there(shards: Path, tmp_path: Path) -> None:
    """One line each."""
    with pytest.raises(FolderError, match=r"manifest\.json"):
        main(train_args(tmp_path, tmp_path / "run"))
    with pytest.raises(So2SatError, match="cannot be loaded"):
        main(train_args(shards, tmp_path / "run", model=str(tmp_path / "nothing")))


def test_a_run_that_was_cut_before_its_test_is_tested(run: Path, shards: Path, tmp_path: Path) -> None:
    """Trained to the end, killed before the report: the same command makes up for it, same weights."""
    cut = Path(shutil.copytree(run, tmp_path / "cut"))
    for name in ("README.md", "report.json", "test_results.json", "model.safetensors"):
        (cut / name).unlink()
    state = next(cut.glob("checkpoint-*")) / "trainer_state.json"
    state.write_text(state.read_text().replace(str(run), str(cut)))

    metrics = main(train_args(shards, cut, preset="all"))

    assert (cut / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    assert metrics["test_oa"] == json.loads((run / "test_results.json").read_text())["test_oa"]
    assert (cut / "README.md").is_file()


def test_half_a_checkpoint_is_passed_over(run: Path, tmp_path: Path) -> None:
    """trainer_state.json comes last: without it, or with half of it, the one before counts."""
    cut = Path(shutil.copytree(run, tmp_path / "cut"))
    whole = newest_checkpoint(cut)
    assert whole is not None
    later = Path(shutil.copytree(whole, cut / "checkpoint-999"))
    assert newest_checkpoint(cut) == later
    text = (later / "trainer_state.json").read_text()
    (later / "trainer_state.json").write_text(text[:100])
    assert newest_checkpoint(cut) == whole
    (later / "trainer_state.json").unlink()
    assert newest_checkpoint(cut) == whole
    assert newest_checkpoint(tmp_path / "nothing") is None


def test_a_file_says_the_same_as_flags(shards: Path, tmp_path: Path) -> None:
    """YAML and JSON, with the names of the flags; compiled, in bfloat16, accumulated; no patch left out."""
    known = {
        "data": str(shards), "output_dir": str(tmp_path / "run"), "model": "vit-tiny-8", "preset": "s1",
        "max_steps": 2, "per_device_train_batch_size": 16, "gradient_accumulation_steps": 2, "bf16": True,
        "torch_compile": True, "torch_compile_backend": "eager", "use_cpu": True, "disable_tqdm": True,
        "dataloader_drop_last": True, "save_strategy": "no", "eval_strategy": "no",
        "load_best_model_at_end": False,
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(known))
    (tmp_path / "run.json").write_text(json.dumps(known))
    both = [parse([str(tmp_path / name)]) for name in ("run.yaml", "run.json")]
    assert both[0][0] == both[1][0]
    assert both[0][1] == both[1][1]

    main([str(tmp_path / "run.yaml")])

    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["patches"] == 70  # a batch of 512 would hold them all, and more
    assert json.loads((tmp_path / "run" / "so2sat.json").read_text())["best"] is None


def test_splits_of_other_versions(
    version_3_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained on one of version 3, tested on the same; it has no validation to choose on."""
    options = {"version": "random", "max_steps": 2}
    main(train_args(version_3_shards, tmp_path / "last", **options, load_best_model_at_end=False))
    assert "random has no validation" in capsys.readouterr().err
    main(train_args(version_3_shards, tmp_path / "run", **options))

    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["split"] == "random/test"
    assert "random has no validation" in capsys.readouterr().err
    assert "patches of test lie within patches of train" in (tmp_path / "run" / "README.md").read_text()


def test_the_command_passes_everything_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our errors are one line; --help-all lists what transformers knows; a missing torch is named."""
    runner = CliRunner()
    refused = runner.invoke(cli, ["train", "--data", str(tmp_path), "--output_dir", str(tmp_path / "run")])
    assert refused.exit_code == 1
    assert "manifest.json" in refused.stderr
    assert "Traceback" not in refused.output
    bare = runner.invoke(cli, ["train"])
    assert bare.exit_code == 1
    assert bare.stderr.startswith("Error: arguments: the following arguments are required: --data")
    assert len(bare.stderr.splitlines()) == 1
    listed = runner.invoke(cli, ["train", "--help-all"])
    assert listed.exit_code == 0
    for flag in ("--learning_rate", "--layer_decay", "--torch_compile", "--feed"):
        assert flag in listed.stdout
    monkeypatch.setitem(sys.modules, "accelerate", None)
    without = runner.invoke(cli, ["train", "--data", "x"])
    assert without.exit_code == 1
    assert "pip install 'so2sat_hf[train]'" in without.stderr
