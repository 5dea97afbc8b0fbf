"""A folder with a fine-tuned model -> a model repository on the Hub, in one commit."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from so2sat_hf.convert.unpack import sha256_of
from so2sat_hf.errors import FolderError
from so2sat_hf.hub.change import Item, LocalFile, plan_change
from so2sat_hf.hub.patience import ignore
from so2sat_hf.hub.push_plan import GIT_FILES
from so2sat_hf.hub.repository import Repository
from so2sat_hf.hub.settle import head_of, send, settle

CONFIG = "config.json"
CARD = "README.md"
WEIGHTS = ".safetensors"
OLD_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json")
"""What save_pretrained writes for one model: in one file, or in several with an index."""

PUBLISHED = (WEIGHTS, ".json", ".md", ".py", ".html", ".png", ".txt", ".toml", ".yaml")
"""Endings of files that are published. Pickles (``.bin``, ``.pt``) run code when they are read: never. Tables
(``.parquet``) belong into a dataset: the client of the Hub warns of them in a model."""


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What publishing a model is going to do."""

    wanted: dict[str, LocalFile]
    """Path -> every file of the model."""

    left_out: tuple[str, ...]
    """Names in the folder that are not published: checkpoints, optimizer states, pickles."""

    head: str | None
    """Of main; None if there is no such repository."""

    items: tuple[Item, ...]
    """What becomes of every file."""

    @property
    def removed(self) -> list[str]:
        """Weights of the model before, which would be read instead of these."""
        return [item.path for item in self.items if item.fate == "removed"]


def is_model(folder: Path) -> bool:
    """Tell whether a folder holds a model, as ``save_pretrained`` writes it."""
    return (folder / CONFIG).is_file() and any(folder.glob(f"*{WEIGHTS}"))


def plan_model(folder: Path, repository: Repository) -> ModelPlan:
    """Compare the folder of a model with what main holds. Changes nothing.

    Args:
        folder: files of ``save_pretrained`` and the model card, ``README.md``; folders in it are left out.
        repository: of kind ``model``.

    Raises:
        FolderError: no model in it, or no card.
        HubError: the Hub refuses.
    """
    if not is_model(folder):
        raise FolderError(
            folder,
            found=f"no {CONFIG} with *{WEIGHTS} beside it",
            expected="a folder that save_pretrained or Trainer wrote",
        )
    if not (folder / CARD).is_file():
        raise FolderError(
            folder, found=f"no {CARD}", expected="a model card", remedy=f"write it to {folder / CARD}"
        )
    names = sorted(path.name for path in folder.iterdir())
    chosen = [name for name in names if name.endswith(PUBLISHED) and (folder / name).is_file()]
    wanted = {name: _local(folder / name) for name in chosen}
    head = repository.head()
    there = repository.tree(head) if head else {}
    items = plan_change(wanted, there, [path for path in there if OLD_WEIGHTS.fullmatch(path)])
    return ModelPlan(wanted, tuple(name for name in names if name not in wanted), head, tuple(items))


def _local(path: Path) -> LocalFile:
    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise FolderError(
            path, found=f"a link to {path.resolve()}", expected="files of the model", remedy="copy it there"
        )
    if path.name.endswith(GIT_FILES):
        return LocalFile.of(path.name, path.read_bytes())
    return LocalFile(path.name, path, path.stat().st_size, sha256_of(path))


def push_model(
    plan: ModelPlan,
    repository: Repository,
    *,
    private: bool = False,
    message: str = "Fine-tuned on So2Sat LCZ42",
    sent: Callable[[int, int], None] = ignore,
) -> str:
    """Publish a model: main gets all its files in one commit, and loses only the weights before.

    Args:
        plan: see :func:`plan_model`.
        repository: where to; open.
        private: if the repository is made.
        message: first line of the commit.
        sent: called with the bytes that are there, and all of them.

    Returns:
        The head of main with the model.

    Raises:
        HubError: the Hub refuses, is silent, or main was changed meanwhile.
        FolderError: a file changed while it was sent.
    """
    if plan.head is None:
        repository.create(private=private)
    head = plan.head or head_of(repository, "main")
    changed = [plan.wanted[item.path] for item in plan.items if item.fate in ("new", "replaced")]
    repository.choose_storage("main")
    send(changed, repository, "main", sent)
    return settle(plan.wanted, plan.removed, repository, "main", message=message, parent=head)
