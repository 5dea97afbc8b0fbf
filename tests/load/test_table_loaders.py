"""PatchTable over datasets in any order, behind stock DataLoaders, and in a stock Trainer."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from table_folders import PIXELS, ROWS, arrow, check, folders, loaded, truth
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from so2sat_hf.convert.patches import COLUMNS, PatchBlock
from so2sat_hf.errors import So2SatError, SourceError
from so2sat_hf.load.table import PatchTable

__all__ = ["arrow", "folders", "loaded", "truth"]  # fixtures


# ---- datasets


def of_munich(batch: dict[str, Any]) -> list[bool]:
    return [label % 2 == 0 for label in batch["label"]]


CHANGES: dict[str, Callable[[datasets.Dataset], datasets.Dataset]] = {
    "as it is": lambda dataset: dataset,
    "range": lambda dataset: dataset.select(range(100, 180)),
    "select": lambda dataset: dataset.select([200, 3, 3, 100]),
    "filter": lambda dataset: dataset.filter(of_munich, batched=True),
    "shuffle": lambda dataset: dataset.shuffle(seed=5),
    "several": lambda dataset: dataset.shuffle(seed=1).select(range(50)).filter(of_munich, batched=True),
    "shard": lambda dataset: dataset.shard(num_shards=3, index=1, contiguous=False),
    "concatenated": lambda dataset: datasets.concatenate_datasets(
        [dataset.select(range(20, 50)), dataset.shuffle(seed=2).select(range(9)), dataset]
    ),
    "flattened": lambda dataset: dataset.shuffle(seed=3).select(range(40)).flatten_indices(),
    "format": lambda dataset: dataset.with_format("torch").select([7, 1]),
    "with more columns": lambda dataset: dataset.add_column("number", np.arange(ROWS)).select([9, 2]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_dataset_in_any_order(loaded: datasets.Dataset, truth: PatchBlock, change: str) -> None:
    """What the dataset holds, in its order, whatever was done to it."""
    dataset = CHANGES[change](loaded)
    row_of = {text: row for row, text in enumerate(truth.ids)}
    rows = np.array([row_of[text] for text in dataset.with_format(None)["id"]])

    table = PatchTable(dataset)

    assert len(table) == len(dataset) == len(rows)
    check(table[:], truth, rows)
    some = np.random.default_rng(0).permutation(len(rows))[:9].tolist()
    check(table[some], truth, rows[some])
    check({name: np.asarray(table[-1][name])[None] for name in COLUMNS}, truth, rows[-1:])
    copy = pickle.loads(pickle.dumps(table))
    check(copy[some], truth, rows[some])


def test_ids_of_a_shuffled_dataset(loaded: datasets.Dataset, truth: PatchBlock) -> None:
    """They keep the order of the dataset."""
    dataset = loaded.shuffle(seed=1)
    chosen = set(truth.ids[::7])

    table = PatchTable(dataset, ids=chosen, columns=("id", "label"))

    assert [patch["id"] for patch in table] == [text for text in dataset["id"] if text in chosen]
    assert pickle.loads(pickle.dumps(table))[:]["id"].tolist() == table[:]["id"].tolist()
    with pytest.raises(So2SatError, match="no column id"):
        PatchTable(dataset.remove_columns("id"), ids=chosen)


def test_columns_that_are_no_arrays(loaded: datasets.Dataset) -> None:
    """Those that are are read; others are named, unless they are not wanted."""
    dataset = loaded.select(range(3)).add_column("words", [["a"], ["b"], ["c"]])

    assert PatchTable(dataset, columns="label")[[1]]["label"].shape == (1,)
    with pytest.raises(SourceError, match=r"column words: type list.*\n.*leave it out"):
        PatchTable(dataset)


# ---- DataLoader


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_stock_dataloader_with_workers(arrow: Path, truth: PatchBlock, method: str) -> None:
    """Shuffled by its own sampler; every patch once, and right."""
    table = PatchTable(arrow)
    table[0]  # opened before the fork
    loader = DataLoader(table, batch_size=48, shuffle=True, num_workers=2, multiprocessing_context=method)

    batches = list(loader)

    assert [len(batch["label"]) for batch in batches] == [48] * 5 + [20]
    rows = [int(text[-6:]) for batch in batches for text in batch["id"]]
    assert sorted(rows) == list(range(ROWS))
    assert rows != sorted(rows)
    merged = {name: np.concatenate([np.asarray(batch[name]) for batch in batches]) for name in COLUMNS}
    check(merged, truth, rows)


@pytest.mark.parametrize("form", ["numpy", "torch"])
def test_the_sampler_may_give_whole_batches(arrow: Path, truth: PatchBlock, form: str) -> None:
    """``batch_sampler`` with samples, ``sampler`` without collating, one by one: the same batches."""
    table = PatchTable(arrow, form=form)

    def sampler() -> BatchSampler:
        return BatchSampler(
            RandomSampler(table, generator=torch.Generator().manual_seed(1)), 32, drop_last=True
        )

    ways = [
        DataLoader(table, batch_sampler=sampler()),
        DataLoader(table, sampler=sampler(), batch_size=None),
        DataLoader(table, batch_sampler=sampler(), collate_fn=lambda samples: samples.arrays),
    ]

    for one, two, three in zip(*ways, strict=True):
        assert {name: one[name].dtype for name in one if name not in ("id", "city")} == {
            "sen1": torch.float32,
            "sen2": torch.float32,
            "label": torch.int64,
            "epsg": torch.int32,
            **dict.fromkeys(("x_ul", "y_ul", "longitude", "latitude"), torch.float64),
        }
        for batch in (two, three):
            assert all(list(batch[name]) == list(one[name]) for name in ("id", "city"))
            assert all(np.array_equal(batch[name], one[name]) for name in (*PIXELS, "label", "epsg"))
        check(
            {name: np.asarray(one[name]) for name in COLUMNS}, truth, [int(text[-6:]) for text in one["id"]]
        )


def test_samples_are_a_sequence(arrow: Path, truth: PatchBlock) -> None:
    """Dicts of views of one batch."""
    samples = PatchTable(arrow).__getitems__([3, 1, 2])

    assert len(samples) == 3
    assert [sample["id"] for sample in samples] == [truth.ids[row] for row in (3, 1, 2)]
    assert [sample["id"] for sample in samples[1:]] == [truth.ids[row] for row in (1, 2)]
    assert np.shares_memory(samples[-1]["sen2"], samples.arrays["sen2"])
    with pytest.raises(IndexError):
        samples[3]


def test_a_worker_opens_the_files_itself(arrow: Path) -> None:
    """A table of any size is a few hundred bytes on its way to a worker."""
    table = PatchTable(arrow, bands=("B02",))
    table[:]

    assert len(pickle.dumps(table)) < 2000


def test_a_folder_that_changes_on_the_way(arrow: Path, tmp_path: Path) -> None:
    """A worker never reads other patches than its parent means."""
    folder = Path(shutil.copytree(arrow, tmp_path / "out"))
    sent = pickle.dumps(PatchTable(folder))
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"rounding": {}', '"rounding": {"sen2": 0.1}'))

    with pytest.raises(SourceError, match="built anew meanwhile; expected the dataset "):
        pickle.loads(sent)


# ---- a stock Trainer


def test_a_stock_trainer(arrow: Path, tmp_path: Path) -> None:
    """Two steps of a tiny ViT: samples and a small collate function, no subclass of anything."""
    pytest.importorskip("accelerate", reason="the Trainer needs it: pip install 'so2sat_hf[train]'")
    from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

    table = PatchTable(arrow, columns=("sen2", "label"), bands=("B04", "B03", "B02"))
    seen: list[list[int]] = []

    def collate(samples: Any) -> dict[str, torch.Tensor]:
        seen.append(samples.arrays["label"].tolist())
        batch = {name: torch.from_numpy(values) for name, values in samples.arrays.items()}
        return {"pixel_values": batch["sen2"], "labels": batch["label"]}

    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        image_size=32,
        patch_size=16,
        num_labels=17,
    )
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=4,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(
        ViTForImageClassification(config), arguments, train_dataset=table, data_collator=collate
    )

    result = trainer.train()

    assert result.global_step == 2
    assert np.isfinite(result.training_loss)
    assert [len(labels) for labels in seen[:2]] == [4, 4]
