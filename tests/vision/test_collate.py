"""The collator: every form of samples, every band by its name, compact tensors."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Dataset, load_dataset
from torch.utils.data import DataLoader

from so2sat_hf import facts
from so2sat_hf.convert.build import build
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.source import open_source
from so2sat_hf.errors import So2SatError
from so2sat_hf.load.stream import PatchStream
from so2sat_hf.load.table import PatchTable
from so2sat_hf.vision.augmentation import Augmentation
from so2sat_hf.vision.catalogue import preset
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.preset import Preset
from so2sat_hf.vision.transform import So2SatTransform


@pytest.fixture(scope="module")
def train(built: Path) -> Dataset:
    return load_dataset(str(built), split="train")


@pytest.fixture(scope="module")
def digital(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arrow shards with digital numbers."""
    folder = tmp_path_factory.mktemp("digital") / "shards"
    build(open_source(built), folder, BuildOptions(file_format="arrow", sen2_dtype="uint16"), jobs=1)
    return folder


def expected(train: Dataset, numbers: list[int], bands: tuple[str, ...]) -> torch.Tensor:
    """Bands of some rows, taken one by one from what `datasets` hands out."""
    batch = train.with_format("numpy")[numbers]
    picked = [batch[facts.band(name).sensor][:, facts.band(name).index] for name in bands]
    return torch.from_numpy(np.stack(picked, axis=1))


FORMS = {
    "samples in Python": lambda train, numbers: [train[number] for number in numbers],
    "samples in numpy": lambda train, numbers: train.with_format("numpy").__getitems__(numbers),
    "samples in torch": lambda train, numbers: train.with_format("torch").__getitems__(numbers),
    "samples in Arrow": lambda train, numbers: [train.with_format("arrow")[number] for number in numbers],
    "batch in Python": lambda train, numbers: train[numbers],
    "batch in numpy": lambda train, numbers: train.with_format("numpy")[numbers],
    "batch in torch": lambda train, numbers: train.with_format("torch")[numbers],
    "batch in Arrow": lambda train, numbers: train.with_format("arrow")[numbers],
    "batch of a PatchTable": lambda train, numbers: PatchTable(train)[numbers],
    "samples of a PatchTable": lambda train, numbers: PatchTable(train).__getitems__(numbers),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bands", [("B04", "B03", "B02"), ("B05", "B06"), ("VV_lee", "B08", "VH_lee", "B02")])
def test_every_form_gives_the_same_batch(form: str, bands: tuple[str, ...], train: Dataset) -> None:
    """Bands by their names, in the order that they were named; stored float32, to the bit."""
    numbers = [7, 0, 5]
    collator = So2SatCollator(bands, metadata=("id", "city", "lonlat", "epsg"))

    batch = collator(FORMS[form](train, numbers))

    assert torch.equal(batch["pixel_values"], expected(train, numbers, bands))
    assert batch["pixel_values"].dtype == torch.float32
    assert batch["pixel_values"].is_contiguous()
    assert batch["labels"].dtype == torch.int64
    assert batch["labels"].tolist() == [train[number]["label"] for number in numbers]
    assert batch["id"] == [train[number]["id"] for number in numbers]
    lonlat = [[train[number]["longitude"], train[number]["latitude"]] for number in numbers]
    assert torch.equal(batch["lonlat"], torch.tensor(lonlat, dtype=torch.float32))


@pytest.mark.parametrize("form", [None, "numpy", "torch", "arrow"])
def test_a_streaming_dataset_behind_a_stock_dataloader(form: str | None, built: Path) -> None:
    """Each form that `with_format` knows."""
    stream = load_dataset(str(built), "sen2", split="test", streaming=True).with_format(form)
    loader = DataLoader(stream, batch_size=32, collate_fn=So2SatCollator("s2"))
    train = load_dataset(str(built), split="test")

    batches = list(loader)

    pixels = torch.cat([batch["pixel_values"] for batch in batches])
    assert torch.equal(pixels, expected(train, list(range(70)), preset("s2").bands))


def test_a_preset_gives_its_bands_in_stored_order(train: Dataset, mixed: Preset) -> None:
    """Whatever the order of its slots."""
    batch = So2SatCollator(mixed)(train.with_format("numpy")[[1, 2]])

    assert torch.equal(batch["pixel_values"], expected(train, [1, 2], mixed.bands))


def test_digital_numbers_stay_two_bytes(digital: Path, train: Dataset) -> None:
    """Sentinel-2 alone as stored; beside Sentinel-1 as the very reflectance."""
    table = PatchTable(digital, split="train")
    numbers = [int(row.removeprefix("training/")) for row in table[[3, 4]]["id"]]
    hdf5 = {row["id"]: place for place, row in enumerate(train.select_columns("id"))}
    same = [hdf5[f"training/{number:06d}"] for number in numbers]

    alone = So2SatCollator("s2")(table[[3, 4]])["pixel_values"]
    both = So2SatCollator("all")(table[[3, 4]])["pixel_values"]

    assert alone.dtype == torch.uint16
    assert torch.equal(alone.to(torch.float32) / 10_000, expected(train, same, preset("s2").bands))
    assert torch.equal(both, expected(train, same, preset("all").bands))


def test_digital_numbers_that_datasets_made_int64(digital: Path) -> None:
    """Its numpy format widens them; they come out as two bytes again."""
    shards = load_dataset(str(digital), split="train").with_format("numpy")
    assert shards[0]["sen2"].dtype == np.int64

    batch = So2SatCollator("rgb")([shards[0]])

    assert batch["pixel_values"].dtype == torch.uint16
    assert np.array_equal(batch["pixel_values"][0].numpy(), shards[0]["sen2"][:3])


def test_a_stream_with_the_bands_of_the_preset(built: Path) -> None:
    """Whole batches pass through without a copy; a stream may have read just the bands wanted."""
    rgb = preset("rgb")
    every = next(iter(PatchStream(built, "test", columns=("sen2", "label"), shuffle=False, batch_size=8)))
    three = next(
        iter(
            PatchStream(
                built, "test", columns=("sen2", "label"), bands=rgb.bands, shuffle=False, batch_size=8
            )
        )
    )

    assert torch.equal(So2SatCollator(rgb)(every)["pixel_values"], So2SatCollator(rgb)(three)["pixel_values"])
    assert So2SatCollator("s2")(every)["pixel_values"].data_ptr() == every["sen2"].ctypes.data


def test_sensors_apart(digital: Path) -> None:
    """Each in its own type."""
    batch = So2SatCollator("all", stack=False)(PatchTable(digital, split="train")[[0, 1]])

    assert (batch["sen1"].shape, batch["sen1"].dtype) == ((2, 8, 32, 32), torch.float32)
    assert (batch["sen2"].shape, batch["sen2"].dtype) == ((2, 10, 32, 32), torch.uint16)
    assert "pixel_values" not in batch


def test_wavelengths_are_those_of_the_slots(train: Dataset, mixed: Preset) -> None:
    """In nanometres; NaN where nobody knows."""
    batch = So2SatCollator(mixed, metadata=("wavelengths",))(train.with_format("numpy")[[1, 2]])

    assert batch["wavelengths"].shape == (2, len(mixed.slots))
    assert batch["wavelengths"][1, 0] == pytest.approx(facts.band("B04").wavelength_nm)
    assert batch["wavelengths"][:, 1].isnan().all()


def test_soft_labels(rows: list[dict[str, Any]]) -> None:
    """17 probabilities from a column of one's own; anything else is an error."""
    soft = np.full(17, 1 / 17)
    with_votes = [{**row, "votes": soft} for row in rows[:3]]

    batch = So2SatCollator("s2", soft_labels="votes")(with_votes)

    assert batch["soft_labels"].shape == (3, 17)
    assert batch["soft_labels"].dtype == torch.float32
    with pytest.raises(So2SatError, match="column votes: shape"):
        So2SatCollator("s2", soft_labels="votes")([{**row, "votes": soft[:16]} for row in rows[:3]])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers(context: str, train: Dataset) -> None:
    """Started either way; the collator knows no device."""
    loader = DataLoader(
        train.with_format("numpy").select(range(16)),
        batch_size=4,
        num_workers=2,
        multiprocessing_context=context,
        collate_fn=So2SatCollator("all"),
    )

    batches = list(loader)

    assert torch.equal(
        torch.cat([batch["pixel_values"] for batch in batches]),
        expected(train, list(range(16)), preset("all").bands),
    )


def test_it_pickles(mixed: Preset) -> None:
    """With its transform."""
    collator = So2SatCollator(mixed, transform=So2SatTransform(mixed).eval())

    assert pickle.loads(pickle.dumps(collator)).bands == mixed.bands


def test_the_transform_at_once(rows: list[dict[str, Any]], mixed: Preset) -> None:
    """What a stock Trainer needs: batches that the model takes as they are."""
    transform = So2SatTransform(mixed, size=48).eval()

    batch = So2SatCollator(mixed, transform=transform)(rows)

    assert batch["pixel_values"].shape == (24, len(mixed.slots), 48, 48)
    assert torch.equal(batch["pixel_values"], transform(So2SatCollator(mixed)(rows))["pixel_values"])
    assert set(batch) == {"pixel_values", "labels"}


def test_workers_draw_numbers_of_their_own(train: Dataset, built: Path) -> None:
    """Other flips in every batch and pass, although each worker begins with a copy of one transform."""
    transform = So2SatTransform(preset("rgb", built), augment=Augmentation(jitter=0.5))
    same = train.with_format("numpy").select([0] * 8)
    loader = DataLoader(
        same, batch_size=1, num_workers=2, collate_fn=So2SatCollator("rgb", transform=transform)
    )
    torch.manual_seed(3)

    first, second = ([batch["pixel_values"].sum().item() for batch in loader] for _ in range(2))

    assert len({*first, *second}) == 16
    torch.manual_seed(3)
    assert [batch["pixel_values"].sum().item() for batch in loader] == first


WRONG = {
    "no such band": (lambda rows: So2SatCollator(("B10",)), "band 'B10': unknown"),
    "no bands": (lambda rows: So2SatCollator(()), "bands: none"),
    "no such preset": (lambda rows: So2SatCollator("s3"), "preset 's3': unknown"),
    "column missing": (
        lambda rows: So2SatCollator("all")([{"sen2": row["sen2"], "label": 0} for row in rows]),
        "no column sen1, only sen2, label",
    ),
    "label missing": (lambda rows: So2SatCollator("s2")([{"sen2": rows[0]["sen2"]}]), "no column label"),
    "empty": (lambda rows: So2SatCollator("s2")([]), "list, which is no sample"),
    "no samples": (lambda rows: So2SatCollator("s2")([3, 4]), "int, which is no sample"),
    "bands missing": (
        lambda rows: So2SatCollator("rgb")([{"sen2": row["sen2"][:4], "label": 0} for row in rows]),
        "column sen2: 4 bands; expected all 10, or 3: B02 B03 B04",
    ),
    "channels last": (
        lambda rows: So2SatCollator("s2")([{"sen2": rows[0]["sen2"].transpose(1, 2, 0), "label": 0}]),
        "column sen2: 32 bands",
    ),
    "shapes differ": (
        lambda rows: So2SatCollator("s2")(
            [{"sen2": rows[0]["sen2"], "label": 0}, {"sen2": rows[0]["sen2"][:, :8], "label": 0}]
        ),
        "patches of shapes",
    ),
    "whole batches": (
        lambda rows: So2SatCollator("s2")([{"sen2": np.stack([rows[0]["sen2"]] * 2), "label": [0, 0]}] * 2),
        r"whole batches where single patches.*\n.*PatchTable",
    ),
    "text": (lambda rows: So2SatCollator("s2")([{"sen2": "x", "label": 0}]), "values of type <U1"),
    "negative": (
        lambda rows: So2SatCollator("s2")([{"sen2": np.full((10, 32, 32), -1), "label": 0}]),
        "whole numbers from -1 to -1",
    ),
    "nothing": (lambda rows: So2SatCollator("s2")(None), "nothing; expected a list of samples"),
    "table without it": (lambda rows: So2SatCollator("s2")(pa.table({"label": [1]})), "no column sen2"),
}


@pytest.mark.parametrize(("call", "message"), WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_is_named(call: Any, message: str, rows: list[dict[str, Any]]) -> None:
    """One error with the column or band, and what would be right."""
    with pytest.raises(So2SatError, match=message):
        call(rows)
