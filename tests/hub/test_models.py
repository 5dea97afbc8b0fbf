"""A fine-tuned model on the Hub, pushed with its card and loaded again by transformers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from local_hub import Fault, LocalHub
from publishing import QUICK
from trained import NEEDS_TRAIN

from so2sat_hf.cli import cli
from so2sat_hf.errors import FolderError, HubError
from so2sat_hf.hub.models import plan_model, push_model
from so2sat_hf.hub.repository import Repository

REPO = "maria/lcz-vit"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """What save_pretrained and Trainer leave behind."""
    pytest.importorskip("torch", reason=NEEDS_TRAIN)
    from transformers import ViTConfig, ViTForImageClassification

    folder = tmp_path / "run"
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_channels=10
    )
    config.image_size, config.patch_size, config.num_labels = 32, 8, 17
    ViTForImageClassification(config).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# LCZ from Sentinel-2\n")
    (folder / "training_args.bin").write_bytes(b"pickled")
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10" / "optimizer.pt").write_bytes(b"pickled")
    return folder


def test_a_model_is_published_and_loads(
    hub: LocalHub, login: Callable[[str], None], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One commit; pickles and checkpoints stay here; transformers reads the same weights."""
    import torch
    from transformers import ViTForImageClassification

    login(hub.add_user("maria"))
    result = CliRunner().invoke(cli, ["push", str(model), REPO])

    assert result.exit_code == 0, result.output
    repo = hub.repo(REPO, kind="model")
    assert set(repo.tree("main")) == {".gitattributes", "README.md", "config.json", "model.safetensors"}
    assert len(repo.history("main")) == 2
    assert "not published: checkpoint-10, training_args.bin" in result.stderr
    assert "files: 3 new" in result.stdout
    here, there = (ViTForImageClassification.from_pretrained(place) for place in (model, REPO))
    for mine, theirs in zip(here.parameters(), there.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def run(folder: Path) -> str:
    repository = Repository(REPO, kind="model", patience=QUICK)
    with repository.open():
        return push_model(plan_model(folder, repository), repository)


def test_files_of_others_stay_and_nothing_is_sent_twice(
    hub: LocalHub, login: Callable[[str], None], model: Path
) -> None:
    """A second push changes what differs; the rest of the repository is not ours."""
    login(hub.add_user("maria"))
    hub.create_repo(REPO, kind="model", files={"notes.txt": b"mine"})
    run(model)
    hub.reset_log()
    (model / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Better\n")

    commit = run(model)

    repo = hub.repo(REPO, kind="model")
    assert repo.head("main") == commit
    assert repo.read("main", "notes.txt") == b"mine"
    assert repo.read("main", "README.md").endswith(b"# Better\n")
    assert not hub.requests("lfs-put")


@pytest.mark.parametrize("kind", ["lfs-put", "lfs-verify", "commit", "preupload", "info"])
def test_faults_pass(hub: LocalHub, login: Callable[[str], None], model: Path, kind: str) -> None:
    """An answer that was lost is no reason for a second commit."""
    login(hub.add_user("maria"))
    hub.create_repo(REPO, kind="model")
    hub.inject(when=lambda request: request.kind == kind, fault=Fault(cut="after"))
    run(model)

    assert len(hub.repo(REPO, kind="model").history("main")) == 2


def test_what_is_missing_is_said(
    hub: LocalHub, login: Callable[[str], None], model: Path, tmp_path: Path
) -> None:
    login(hub.add_user("tom"))
    hub.create_repo(REPO, kind="model")
    with pytest.raises(HubError, match="may not do that"):
        run(model)
    (model / "README.md").unlink()
    with pytest.raises(FolderError, match="a model card"):
        run(model)
    (model / "model.safetensors").unlink()
    with pytest.raises(FolderError, match="save_pretrained"):
        run(model)


def test_weights_of_the_model_before_go(hub: LocalHub, login: Callable[[str], None], model: Path) -> None:
    """Otherwise transformers would read one file rather than several: the old model."""
    from transformers import ViTForImageClassification

    login(hub.add_user("maria"))
    run(model)
    better = ViTForImageClassification.from_pretrained(model)
    (model / "model.safetensors").unlink()
    better.save_pretrained(model, max_shard_size="5KB")
    run(model)

    tree = hub.repo(REPO, kind="model").tree("main")
    assert "model.safetensors" not in tree
    assert "model.safetensors.index.json" in tree


def test_a_link_out_of_the_folder_is_refused(
    hub: LocalHub, login: Callable[[str], None], model: Path, tmp_path: Path
) -> None:
    login(hub.add_user("maria"))
    (tmp_path / "secret.json").write_text("{}")
    (model / "notes.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(FolderError, match="a link to"):
        run(model)
