"""The dataset as users open it by the name of its repository: over HTTP, with ``datasets`` as it is."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import IterableDataset, get_dataset_config_names, load_dataset, load_dataset_builder
from datasets.distributed import split_dataset_by_node
from datasets.exceptions import DatasetNotFoundError
from datasets.utils.info_utils import NonMatchingSplitsSizesError
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from local_hub import LocalHub, Repo
from regrouped import write_version_3

from so2sat_hf.assemble import extras, membership_of
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.patches import COLUMNS, FILE_OF_SPLIT, PatchBlock
from so2sat_hf.convert.raw import RawSource, open_raw
from so2sat_hf.hub.card import readme_of
from so2sat_hf.synthetic import write_raw

REPO = "zhu-xlab/So2Sat-LCZ42"
SPLITS = {"train": 130, "validation": 50, "test": 40}
CULTURE_10 = ("culture_10", "sen1", "sen2", "index", "rgb")
ROWS = {
    **dict.fromkeys(CULTURE_10, SPLITS),
    "v1": {"train": 130, "validation": 50},
    "culture_10_v3": {"train": 130, "test": 90},
    "random": {"train": 176, "test": 44},
    "block": {"train": 176, "test": 44},
}
STYLES: dict[str, dict[str, Any]] = {"map style": {}, "streaming": {"streaming": True}}
CARD = Path(__file__).parents[2] / "cards" / "dataset_card.md"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 2 and 3, with geolocation."""
    folder = tmp_path_factory.mktemp("load-raw")
    write_raw(folder, **SPLITS, seed=11, geo="2026")
    write_version_3(folder, folder, seed=4)
    return folder


@pytest.fixture(scope="module")
def members(raw: Path) -> dict[str, dict[str, set[str]]]:
    """Version -> split -> ids."""
    regrouped = write_version_3(raw, raw, seed=4)
    ids = {split: {f"{FILE_OF_SPLIT[split]}/{row:06d}" for row in range(n)} for split, n in SPLITS.items()}
    version_3 = {
        name: {"train": set(regrouped[f"{name}/training"]), "test": set(regrouped[f"{name}/testing"])}
        for name in ("random", "block")
    }
    return {"culture_10": ids, **version_3}


@pytest.fixture(scope="module")
def out(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that is published, in files of at most 40 rows."""
    folder = tmp_path_factory.mktemp("load") / "out"
    source = open_raw(raw)
    more = extras(source, membership_of(source, jobs=1))
    build(source, folder, BuildOptions(rows_per_shard=40), extras=more, jobs=1)
    return folder


@pytest.fixture(scope="module")
def files(out: Path) -> dict[str, bytes]:
    return contents(out)


@pytest.fixture(scope="module")
def smaller_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Another dataset: the train split has 7 rows."""
    folder = tmp_path_factory.mktemp("load-smaller")
    write_raw(folder / "raw", train=7, validation=3, test=3, seed=12, geo="2026")
    source = open_raw(folder / "raw")
    build(source, folder / "out", extras=extras(source, companions=()), jobs=1)
    return contents(folder / "out")


def contents(out: Path) -> dict[str, bytes]:
    """Files of a built folder, with the README that it has on the Hub."""
    found = {path: (out / path).read_bytes() for path in (*Manifest.read(out).paths, "manifest.json")}
    return {**found, "README.md": readme_of(out, REPO).encode()}


@pytest.fixture
def repo(hub: LocalHub, files: dict[str, bytes]) -> Repo:
    return hub.create_repo(REPO, files=files)


@pytest.fixture(scope="module")
def patches(raw: Path) -> dict[str, tuple[np.ndarray, np.ndarray, int, str]]:
    """Id -> sen1, sen2, label and city of the HDF5 files."""
    source: RawSource = open_raw(raw)
    found = {}
    for split, count in SPLITS.items():
        (block,) = source.blocks(split, range(count), columns=COLUMNS, size=count)
        found |= rows_of(block)
    return found


def rows_of(block: PatchBlock) -> dict[str, tuple[np.ndarray, np.ndarray, int, str]]:
    columns = (block.sen1, block.sen2, block.label.tolist(), block.geo.city)
    return dict(zip(block.ids, zip(*columns, strict=True), strict=True))


def stream(config: str | None = None, split: str = "train", **options: Any) -> Any:
    return load_dataset(REPO, config, split=split, streaming=True, **options)


def small_blocks() -> dict[str, Any]:
    """Options that the card recommends: fetch what is asked for, and no 5 MiB beyond."""
    line = next(line for line in CARD.read_text().splitlines() if '"block_size"' in line)
    return ast.literal_eval(line.removeprefix("options = "))


def ids(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def pixels(rows: Iterable[Mapping[str, Any]]) -> list[np.ndarray]:
    return [row["sen2"] for row in rows]


def expected(config: str, out: Path) -> dict[str, int]:
    if config != "mini":
        return ROWS[config]
    mini = next(plan for plan in Manifest.read(out).companions if plan.name == "mini")
    return {file.split: file.rows for file in mini.files}


# configs


def test_the_configs_are_those_of_the_card(repo: Repo) -> None:
    """And culture_10 is what comes when none is named."""
    assert set(get_dataset_config_names(REPO)) == {*ROWS, "mini"}
    assert load_dataset_builder(REPO).config.name == "culture_10"


@pytest.mark.parametrize("config", [*ROWS, "mini"])
def test_every_config_loads_and_streams_with_exact_counts(repo: Repo, out: Path, config: str) -> None:
    """Map style, whose sizes datasets checks itself, and streaming."""
    data = load_dataset(REPO, config)
    streams = load_dataset(REPO, config, streaming=True)

    assert {split: rows.num_rows for split, rows in data.items()} == expected(config, out)
    assert {split: ids(rows.with_format("numpy")) for split, rows in streams.items()} == {
        split: rows["id"][:] for split, rows in data.items()
    }
    assert (
        data["train"].features
        == streams["train"].features
        == load_dataset_builder(REPO, config).info.features
    )


@pytest.mark.parametrize("style", STYLES)
def test_values_are_those_of_the_hdf5(repo: Repo, patches: dict[str, Any], style: str) -> None:
    """Every pixel, label and city of every patch."""
    data = load_dataset(REPO, **STYLES[style])

    rows = [row for split in data.values() for row in split.with_format("numpy")]
    assert len(rows) == len(patches) == sum(SPLITS.values())
    for row in rows:
        sen1, sen2, label, city = patches[str(row["id"])]
        assert np.array_equal(row["sen1"], sen1)
        assert np.array_equal(row["sen2"], sen2)
        assert (int(row["label"]), str(row["city"])) == (label, city)


@pytest.mark.parametrize("config", ["culture_10", "random", "block"])
def test_a_split_holds_the_patches_of_its_version(
    repo: Repo, members: dict[str, dict[str, set[str]]], config: str
) -> None:
    """Each once; the grouping is that of the published files."""
    streams = load_dataset(REPO, config, streaming=True, columns=["id", "label"])

    for split, wanted in members[config].items():
        found = ids(streams[split])
        assert len(found) == len(wanted)
        assert set(found) == wanted


def test_a_stream_asks_for_no_file_of_another_split_or_config(hub: LocalHub, repo: Repo) -> None:
    """Only small files and those of the split."""
    list(stream("index", split="test"))

    asked = {
        request.path.rpartition("/resolve/")[2].partition("/")[2] for request in hub.requests("resolve-get")
    }
    assert {path for path in asked if path.endswith(".parquet")} == {"index/test.parquet"}


# columns, filters, slices


@pytest.mark.parametrize("style", STYLES)
def test_columns(repo: Repo, patches: dict[str, Any], style: str) -> None:
    """Those that are asked for, of every patch."""
    rows = list(load_dataset(REPO, split="train", columns=["id", "city"], **STYLES[style]))

    assert {row["id"]: row["city"] for row in rows} == {
        name: patch[3] for name, patch in patches.items() if name.startswith("training/")
    }
    assert all(set(row) == {"id", "city"} for row in rows)


@pytest.mark.parametrize("options", [STYLES["streaming"], {"verification_mode": "no_checks"}])
@pytest.mark.parametrize("column", ["label", "city"])
def test_filters(repo: Repo, patches: dict[str, Any], options: dict[str, Any], column: str) -> None:
    """Streaming, and map style where datasets does not count."""
    position = {"label": 2, "city": 3}[column]
    value = patches["training/000000"][position]

    found = ids(load_dataset(REPO, split="train", filters=[(column, "==", value)], **options))

    train = {name: patch for name, patch in patches.items() if name.startswith("training/")}
    assert sorted(found) == sorted(name for name, patch in train.items() if patch[position] == value)
    assert 0 < len(found) < len(train)


def test_filters_without_no_checks_are_refused_by_datasets(repo: Repo) -> None:
    """Which is why the card says so."""
    with pytest.raises(NonMatchingSplitsSizesError):
        load_dataset(REPO, split="train", filters=[("label", "==", 3)])


def test_splits_can_be_added_and_sliced(repo: Repo) -> None:
    """Map style takes slices; a sum of splits is theirs, too."""
    whole = {split: rows["id"][:] for split, rows in load_dataset(REPO).items()}

    for split, names in (
        ("train+validation", whole["train"] + whole["validation"]),
        ("train[10:20]", whole["train"][10:20]),
        ("train[-5:]+test[:50%]", whole["train"][-5:] + whole["test"][:20]),
    ):
        assert load_dataset(REPO, split=split)["id"][:] == names


def test_small_blocks_fetch_what_is_asked_for(hub: LocalHub, repo: Repo, out: Path) -> None:
    """The option of the card: without it, every read fetches 5 MiB more than it needs."""
    read = {}
    for name, options in {"default": STYLES["streaming"], "small blocks": small_blocks()}.items():
        hub.reset_log()
        rows = load_dataset(REPO, split="train", columns=["id", "label"], **options)
        assert len(list(rows)) == 130
        read[name] = sum(request.sent for request in hub.requests("storage-get"))

    whole = sum(path.stat().st_size for path in out.glob("data/train/*"))
    assert read["default"] > 0.9 * whole
    assert read["small blocks"] < 0.25 * whole  # of files of 40 rows, and most of that is footers


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
