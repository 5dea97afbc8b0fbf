"""The dataset as users open it by the name of its repository: over HTTP, with ``datasets`` as it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import get_dataset_config_names, load_dataset, load_dataset_builder
from datasets.utils.info_utils import NonMatchingSplitsSizesError
from hub_dataset import (
    REPO,
    ROWS,
    SPLITS,
    STYLES,
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
from local_hub import LocalHub, Repo

__all__ = ["files", "members", "out", "patches", "raw", "repo"]  # fixtures


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
