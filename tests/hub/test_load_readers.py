"""The dataset by its name, for every reader: revisions, tokens, nodes, workers, older releases."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import IterableDataset, load_dataset
from datasets.distributed import split_dataset_by_node
from datasets.exceptions import DatasetNotFoundError
from hub_dataset import (
    REPO,
    contents,
    expected,
    files,
    ids,
    members,
    out,
    patches,
    raw,
    repo,
    small_blocks,
    stream,
)
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from local_hub import LocalHub, Repo
from trained import NEEDS_TRAIN

from so2sat_hf.assemble import extras
from so2sat_hf.convert.build import build
from so2sat_hf.convert.raw import open_raw
from so2sat_hf.synthetic import write_raw

__all__ = ["files", "members", "out", "patches", "raw", "repo"]  # fixtures


@pytest.fixture(scope="module")
def smaller_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Another dataset: the train split has 7 rows."""
    folder = tmp_path_factory.mktemp("load-smaller")
    write_raw(folder / "raw", train=7, validation=3, test=3, seed=12, geo="2026")
    source = open_raw(folder / "raw")
    build(source, folder / "out", extras=extras(source, companions=()), jobs=1)
    return contents(folder / "out")


def pixels(rows: Iterable[Mapping[str, Any]]) -> list[np.ndarray]:
    return [row["sen2"] for row in rows]


# revisions and rights


def test_every_kind_of_revision(
    hub: LocalHub,
    login: Callable[[str], None],
    files: dict[str, bytes],
    smaller_files: dict[str, bytes],
) -> None:
    """A commit, a branch, a tag and a pull request have the smaller dataset; main has the larger one."""
    login(hub.add_user("maria", orgs={"zhu-xlab": "write"}))
    repo = hub.create_repo(REPO, files=smaller_files)
    before = repo.head("main")
    api = HfApi()
    api.create_branch(REPO, branch="work", repo_type="dataset")
    api.create_tag(REPO, tag="data-1", repo_type="dataset")
    repo.write(files, delete=sorted(set(smaller_files) - set(files)))
    changes = [
        *(CommitOperationDelete(path) for path in sorted(set(files) - set(smaller_files))),
        *(CommitOperationAdd(path, content) for path, content in smaller_files.items()),
    ]
    pull = api.create_commit(REPO, changes, commit_message="Smaller", repo_type="dataset", create_pr=True)

    for revision in (before, "work", "data-1", pull.pr_revision):
        assert len(ids(stream(revision=revision))) == 7, revision
        assert load_dataset(REPO, split="validation", revision=revision).num_rows == 3, revision
    for revision in (None, "main", repo.head("main")):
        assert len(ids(stream(revision=revision))) == 130, revision
        assert load_dataset(REPO, split="validation", revision=revision).num_rows == 50, revision


def test_a_private_repository_opens_with_a_token_alone(
    hub: LocalHub, login: Callable[[str], None], smaller_files: dict[str, bytes]
) -> None:
    """From where huggingface_hub looks for it, or as an argument."""
    hub.create_repo(REPO, private=True, files=smaller_files)
    token = hub.add_user("maria", orgs={"zhu-xlab": "read"})
    for streaming in (False, True):
        with pytest.raises(DatasetNotFoundError):
            load_dataset(REPO, split="train", streaming=streaming)

    assert len(ids(stream(token=token))) == 7
    login(token)
    assert len(ids(stream())) == 7
    assert load_dataset(REPO, split="train").num_rows == 7


# several readers, and one that is interrupted


@pytest.mark.parametrize("world_size", [2, 3])
def test_nodes_share_a_stream(repo: Repo, members: dict[str, dict[str, set[str]]], world_size: int) -> None:
    """Every row is read by one of them."""
    shares = [
        ids(split_dataset_by_node(stream("sen2"), rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]

    assert sorted(name for share in shares for name in share) == sorted(members["culture_10"]["train"])
    assert all(shares)


@pytest.mark.parametrize(
    ("shards", "taken"), [*(("files", taken) for taken in (0, 1, 40, 73, 130)), ("row groups", 73)]
)
def test_an_interrupted_stream_goes_on_with_the_next_row(repo: Repo, shards: str, taken: int) -> None:
    """By file and by row group: the state passes through JSON; the rest is the same, row for row."""
    if shards == "row groups" and not hasattr(IterableDataset, "reshard"):
        pytest.skip("this release of datasets has no reshard")

    def opened() -> Any:
        data = load_dataset(REPO, "sen2", split="train", **small_blocks()).with_format("numpy")
        return data.reshard() if shards == "row groups" else data

    first = opened()
    rows = iter(first)
    before = [next(rows)["id"] for _ in range(taken)]
    state = json.dumps(first.state_dict())
    rest = list(rows)

    again = opened()
    again.load_state_dict(json.loads(state))
    resumed = list(again)

    assert len(before) + len(resumed) == 130
    assert ids(resumed) == ids(rest)
    assert all(np.array_equal(*pair) for pair in zip(pixels(resumed), pixels(rest), strict=True))


LOADER = """
import json, os, sys
from datasets import load_dataset
from torch.utils.data import DataLoader
stream = load_dataset(sys.argv[1], "sen2", split="train", streaming=True).with_format("torch")
found = {"ids": [], "shapes": [], "sum": 0.0}
for batch in DataLoader(stream, batch_size=16, num_workers=2):
    found["ids"] += batch["id"]
    found["shapes"].append(list(batch["sen2"].shape[1:]))
    found["sum"] += float(batch["sen2"].double().sum())
print(json.dumps(found), flush=True)
os._exit(0)
"""


def test_two_workers_of_a_data_loader_read_every_row_once(
    repo: Repo, hub_environment: dict[str, str], patches: dict[str, Any]
) -> None:
    """In a process of its own, as in a training script."""
    pytest.importorskip("torch", reason=NEEDS_TRAIN)
    found = reported([sys.executable, "-c", LOADER, REPO], hub_environment)

    train = {name: patch for name, patch in patches.items() if name.startswith("training/")}
    assert sorted(found["ids"]) == sorted(train)
    assert all(shape == [10, 32, 32] for shape in found["shapes"])
    assert found["sum"] == pytest.approx(sum(patch[1].sum(dtype=float) for patch in train.values()))


# older readers

LEGACY = """
import json, os, sys
import datasets
from datasets import load_dataset
datasets.config.USE_PARQUET_EXPORT = False  # of the viewer: tried with patience, and there is none here
found = {"version": datasets.__version__, "configs": {}}
for config in json.loads(sys.argv[2]):
    counts = {split: rows.num_rows for split, rows in load_dataset(sys.argv[1], config).items()}
    streams = load_dataset(sys.argv[1], config, streaming=True)
    streamed = {split: sum(1 for _ in rows) for split, rows in streams.items()}
    found["configs"][config] = [counts, streamed]
row = load_dataset(sys.argv[1], split="train").with_format("numpy")[0]
found["row"] = [row["id"], row["sen1"].astype(float).tolist(), int(row["label"])]
print(json.dumps(found), flush=True)
os._exit(0)  # threads of pyarrow can hang at exit where a stream was half read
"""


@pytest.mark.parametrize("version", ["3.6.0", "2.21.0"])
def test_datasets_before_version_4_opens_the_repository(
    repo: Repo, out: Path, hub_environment: dict[str, str], patches: dict[str, Any], version: str
) -> None:
    """By its name: every kind of config, map style and streaming, counts and a patch exact."""
    variable = f"SO2SAT_PYTHON_DATASETS_{version.replace('.', '_')}"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} does not name a Python with datasets {version}; .ci/run makes one")
    configs = ["culture_10", "random", "sen2", "index", "mini"]

    found = reported([python, "-c", LEGACY, REPO, json.dumps(configs)], {**hub_environment, "PYTHONPATH": ""})

    assert found["version"] == version
    assert found["configs"] == {config: [expected(config, out)] * 2 for config in configs}
    name, sen1, label = found["row"]
    assert np.array_equal(np.array(sen1, np.float32), patches[name][0])
    assert label == patches[name][2]


def reported(command: list[str], environment: dict[str, str]) -> Any:
    """Run a script; return what its last line says."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
