"""Models, data and files of others: nothing of them runs, leads elsewhere or passes for our words."""

import json
import os
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from tiny_models import tiny
from trained import train_args

from so2sat_hf.cli import cli
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource
from so2sat_hf.errors import FolderError, HubError, So2SatError
from so2sat_hf.maps.browse import browse_page
from so2sat_hf.maps.export import folder_of
from so2sat_hf.maps.positions import positions_of
from so2sat_hf.maps.safe import read_safe
from so2sat_hf.training.card import model_card
from so2sat_hf.training.classifier import loaded

EVIL = "</script><script>alert(1)</script>\"'|`[x](http://x)\nlicense: mit"
CODE = "import pathlib; pathlib.Path({!r}).touch()\nfrom transformers import ViTConfig as C\n"


class Bomb:
    """Runs a program when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture(scope="module")
def out(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untrusted") / "out"
    build(source, folder, BuildOptions(file_format="arrow", sen2_dtype="uint16"), jobs=1)
    return folder


# models


def test_code_beside_a_model_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is anybody asked: transformers would take a yes from a pipe."""
    model, mark = tmp_path / "model", tmp_path / "ran"
    tiny("vit").save_pretrained(model)
    (model / "code.py").write_text(CODE.format(str(mark)))
    config = json.loads((model / "config.json").read_text())
    told = {"AutoConfig": "code.C", "AutoModelForImageClassification": "code.C"}
    (model / "config.json").write_text(json.dumps({**config, "model_type": "theirs", "auto_map": told}))
    monkeypatch.setattr("builtins.input", lambda *_: "y")

    with pytest.raises(So2SatError, match="cannot be loaded"):
        loaded(str(model))

    assert not mark.exists()


def test_weights_in_a_pickle_are_not_read(tmp_path: Path) -> None:
    """Whatever is in it."""
    model = tiny("vit")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"x": Bomb(tmp_path / "ran")}, tmp_path / "pytorch_model.bin")

    with pytest.raises(So2SatError, match=r"expected .* with safetensors"):
        loaded(str(tmp_path))

    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def interrupted(out: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run with a checkpoint, and the command line that goes on from it."""
    from so2sat_hf.training.finetune import main

    run = tmp_path_factory.mktemp("untrusted") / "run"
    steps = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps"}
    args = train_args(out, run, **steps, eval_steps=1, per_device_train_batch_size=16)
    main(args)
    (run / "README.md").unlink()
    shutil.rmtree(run / "checkpoint-2")
    return run, args


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
@pytest.mark.parametrize("content", ["bomb", "torn"])
def test_a_checkpoint_runs_nothing(
    interrupted: tuple[Path, list[str]], tmp_path: Path, name: str, content: str
) -> None:
    """Optimizer, scheduler and random state are read as tensors and numbers; the error advises well."""
    from so2sat_hf.training.finetune import main

    run, args = interrupted
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    file, mark = copy / "checkpoint-1" / name, tmp_path / "ran"
    if content == "bomb":
        torch.save({"state": Bomb(mark)}, file)
    else:
        file.write_bytes(file.read_bytes()[:200])

    with pytest.raises(So2SatError, match=r"checkpoint-1: (more than tensors|unreadable)") as refused:
        main([str(copy) if word == str(run) else word for word in args])

    assert not mark.exists()
    assert "weights_only" not in str(refused.value)


# names in pages and cards


class Tags(HTMLParser):
    """Counts elements, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)


def tags(page: str) -> list[str]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def test_names_in_the_browse_page_are_text(out: Path) -> None:
    """Cities, versions and the dataset: the same elements as with harmless names."""
    plain = positions_of(str(out))
    evil = replace(
        plain,
        city=np.where(plain.city == plain.city[0], EVIL, plain.city),
        splits={f"{name}{EVIL}": splits for name, splits in plain.splits.items()},
    )

    page = browse_page(evil, EVIL, {})

    assert tags(page) == tags(browse_page(plain, "harmless", {}))
    assert "alert(1)</script>" not in page


def test_names_in_a_model_card_are_text() -> None:
    """The YAML gives them back; Markdown has no tag, link, cell or line of theirs."""
    made = json.loads((Path(__file__).parents[1] / "cards" / "model_card.json").read_text())
    record, report = made["record"], made["report"]
    harmless = model_card(record, report)
    record["name"] = record["data"]["name"] = record["preset"]["title"] = report["split"] = EVIL
    record["preset"]["slots"][0]["unit"] = record["arguments"]["optim"] = EVIL
    report["model"] = f"x/{EVIL}"

    card = model_card(record, report)

    _, head, body = card.split("---\n", 2)
    (index,) = yaml.safe_load(head)["model-index"]
    assert index["name"] == f"x/{EVIL}".rpartition("/")[2]
    assert "license: mit" not in head.splitlines()
    assert "<script" not in body
    assert "[x](" not in body
    assert body.count("\n") == harmless.split("---\n", 2)[2].count("\n")
    rows = [line.count("|") for text in (harmless, card) for line in text.splitlines() if line[:1] == "|"]
    assert rows[: len(rows) // 2] == rows[len(rows) // 2 :]


def test_a_card_is_for_owner_and_name(out: Path) -> None:
    """Its code blocks name the repository."""
    result = CliRunner().invoke(cli, ["card", str(out), "--repo", EVIL, "--print"])

    assert result.exit_code == 1
    assert "expected OWNER/NAME" in result.stderr


def test_messages_steer_no_terminal_and_show_no_token() -> None:
    """What servers and files say is quoted; so is what was typed."""
    error = HubError(
        "x\x1b]0;title\x07", found="\x9b31mred hf_abcdefghijklmnopqrstuvwxyz", expected="ünï\ncode"
    )

    assert str(error) == "x?]0;title?: ?31mred hf_...; expected ünï\ncode"


# paths


@pytest.mark.parametrize("city", ["../up", "/etc", "a/b", "", "..", "a\0b", "a\nb", "-x"])
def test_no_city_leads_out_of_the_folder(city: str) -> None:
    """Exported patches lie in folders of their cities."""
    with pytest.raises(So2SatError, match="export: a city called"):
        folder_of(city)
    assert folder_of("rio_de_janeiro") == "rio_de_janeiro"


@pytest.mark.parametrize("digest", ["../../x", "", "0" * 63, "G" * 64])
def test_no_hash_of_a_manifest_leads_elsewhere(out: Path, digest: str) -> None:
    """Copies of files from the Hub are named by it."""
    text = (out / "manifest.json").read_text()
    shard = Manifest.read(out).shards[0]

    with pytest.raises(FolderError, match="cannot be read"):
        Manifest.parse(text.replace(shard.sha256, digest), "manifest.json")


@pytest.mark.parametrize("name", ["<script>", "a b", "../x"])
def test_names_in_a_manifest_are_names(out: Path, name: str) -> None:
    """They are printed into the README."""
    text = (out / "manifest.json").read_text()

    with pytest.raises(FolderError, match="cannot be read"):
        Manifest.parse(text.replace("training.h5", name), "manifest.json")


def test_metadata_of_a_scene_has_no_entities(tmp_path: Path) -> None:
    """They grow, and name files of this machine."""
    (tmp_path / "MTD_MSIL1C.xml").write_text('<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>')

    with pytest.raises(So2SatError, match="a document type"):
        read_safe(tmp_path)
