"""Resident: patches in the memory of a device; here that of the CPU, to the last bit what is stored."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from table_folders import ROWS, folders, truth

from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.patches import PatchBlock
from so2sat_hf.errors import LossyError, RowError, So2SatError, SourceError
from so2sat_hf.load import resident as resident_module
from so2sat_hf.load.epochs import Epochs
from so2sat_hf.load.resident import Resident, plan_resident

__all__ = ["folders", "truth"]  # fixtures


@pytest.fixture(scope="module")
def parquet(folders: dict[str, Path]) -> Path:
    return folders["parquet"]


def rows_of(ids: Any) -> list[int]:
    return [int(text[-6:]) for text in ids]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_batches_are_what_is_stored(folders: dict[str, Path], truth: PatchBlock, kind: str) -> None:
    """Every column but text, to the last bit, though reflectance lies there in two bytes."""
    resident = Resident(folders[kind])
    index = torch.tensor([259, 0, 131, 131, 64])

    batch = resident.batch(index)

    assert len(resident) == ROWS
    assert resident.ids.tolist() == truth.ids
    assert tuple(batch) == ("sen1", "sen2", "label", "epsg", "x_ul", "y_ul", "longitude", "latitude")
    for name, values in batch.items():
        expected = getattr(truth if hasattr(truth, name) else truth.geo, name)[index]
        assert np.array_equal(values.numpy(), expected)
        assert values.numpy().dtype == expected.dtype
    assert resident._tensors["sen2"].dtype == torch.int16


def test_every_digital_number_becomes_its_reflectance(parquet: Path) -> None:
    """That is k / 10000 in float32, for all k that two bytes can hold."""
    resident = Resident(parquet, columns=("sen2",), bands=("B02",))
    numbers = np.arange(1 << 16).astype(np.uint16).view(np.int16)
    resident._tensors["sen2"] = torch.from_numpy(numbers).reshape(64, 1, 32, 32)

    reflectance = resident.batch(torch.arange(64))["sen2"]

    assert np.array_equal(reflectance.numpy().ravel(), (np.arange(1 << 16) / 10_000).astype(np.float32))


def test_digital_numbers_stay_what_they_are(folders: dict[str, Path], truth: PatchBlock) -> None:
    """As in every other way to feed: the stored dtype is kept."""
    batch = Resident(folders["uint16"], columns=("sen2",)).batch([7, 3])

    assert batch["sen2"].dtype == torch.uint16
    assert np.array_equal(batch["sen2"].numpy(), np.rint(truth.sen2[[7, 3]] * 1e4))


def test_rounded_reflectance_is_kept_in_full(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the manifest tells of rounding, two bytes would not be exact."""
    manifest = Manifest.read(parquet)
    rounded = Manifest(
        **{**{n: getattr(manifest, n) for n in manifest.__slots__}, "rounding": {"sen2": 1e-5}}
    )
    monkeypatch.setattr(Manifest, "read", lambda folder: rounded)

    resident = Resident(parquet, columns=("sen2", "label"))

    assert resident._tensors["sen2"].dtype == torch.float32
    assert resident.plan.columns == {"sen2": ROWS * 40_960, "label": ROWS * 8}


def test_values_that_two_bytes_cannot_tell() -> None:
    """The manifest promises exactness; a file that breaks the promise is refused."""
    with pytest.raises(SourceError, match="no multiple of 1/10000"):
        resident_module._exactly(np.array([0.1, 0.10005], np.float32))
    with pytest.raises(LossyError):
        resident_module._exactly(np.array([7.0], np.float32))


def test_bands_columns_and_ids(parquet: Path, truth: PatchBlock) -> None:
    """The same names as everywhere."""
    chosen = truth.ids[5:200:13]

    resident = Resident(
        parquet, bands=("B04", "VV_lee", "B03"), ids=chosen, columns=("sen1", "sen2", "label")
    )
    batch = resident.batch(range(len(chosen)))

    assert resident.ids.tolist() == chosen
    assert np.array_equal(batch["sen2"], truth.sen2[rows_of(chosen)][:, [2, 1]])
    assert np.array_equal(batch["sen1"], truth.sen1[rows_of(chosen)][:, [5]])
    assert np.array_equal(batch["label"], truth.label[rows_of(chosen)])


# ---- the plan


def test_the_plan_is_what_it_takes(parquet: Path) -> None:
    """Per column, and before anything is read."""
    plan = plan_resident(parquet, columns=("sen1", "sen2", "label"))
    resident = Resident(parquet, columns=("sen1", "sen2", "label"))

    assert plan.columns == {"sen1": ROWS * 32_768, "sen2": ROWS * 20_480, "label": ROWS * 8}
    assert plan.needed == sum(tensor.nbytes for tensor in resident._tensors.values())
    assert str(plan).splitlines()[1].split() == ["sen2", "0.005", "GB"]
    assert "0.014 GB for 260 patches on cpu, " in str(plan)


def test_what_does_not_fit_is_refused_before_it_is_read(
    parquet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bytes needed and free, and the ways out."""
    monkeypatch.setattr(resident_module, "free_bytes", lambda device: 1_000_000)
    monkeypatch.setattr(Resident, "_load", lambda self, share: pytest.fail("was read"))

    assert not plan_resident(parquet).fits
    with pytest.raises(So2SatError, match=r"cpu: 13,\d+,\d+ bytes needed, 1,000,000 free.*\n.*fewer bands"):
        Resident(parquet)
    monkeypatch.setattr(Resident, "_load", lambda self, share: None)
    assert len(Resident(parquet, columns="label")) == ROWS


def test_free_memory_of_this_machine() -> None:
    """Known on Linux; other devices than GPUs do not tell."""
    assert resident_module.free_bytes(torch.device("cpu")) > 10_000_000
    assert resident_module.free_bytes(torch.device("meta")) is None


# ---- shares


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_shares_of_ranks_make_up_the_split(parquet: Path, truth: PatchBlock, world_size: int) -> None:
    """Of one size, every patch in one of them, fewer than there are ranks in two."""
    shares = [
        Resident(parquet, columns="label", rank=rank, world_size=world_size) for rank in range(world_size)
    ]

    assert {len(share) for share in shares} == {-(-ROWS // world_size)}
    ids = [text for share in shares for text in share.ids]
    assert set(ids) == set(truth.ids)
    for share in shares:
        assert np.array_equal(share.batch(range(len(share)))["label"], truth.label[rows_of(share.ids)])
    assert plan_resident(parquet, columns="label", world_size=world_size).patches == len(shares[0])
    # A share is not a stretch of the stored order, which may be a few cities.
    assert any(np.ptp(rows_of(share.ids)) > ROWS * 0.7 for share in shares)


# ---- epochs


def seen(epochs: Epochs) -> list[list[int]]:
    """Run what is left of an epoch; the numbers of the patches come along as labels."""
    return [batch["label"].tolist() for batch in epochs]


def flat(batches: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


@pytest.fixture
def numbered(parquet: Path) -> Resident:
    """Patches whose label is their index."""
    resident = Resident(parquet, columns="label")
    resident._tensors["label"] = torch.arange(ROWS)
    return resident


def test_every_patch_once_an_epoch(numbered: Resident) -> None:
    """In an order that seed and epoch decide; the epoch advances by itself."""
    epochs = numbered.epochs(48, seed=3)

    first, second = seen(epochs), seen(epochs)

    assert [len(batch) for batch in first] == [48] * 5 + [20]
    assert len(epochs) == 6
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(ROWS))
    assert first != second
    assert epochs.epoch == 2
    again = numbered.epochs(48, seed=3)
    again.set_epoch(1)
    assert seen(again) == second
    assert seen(numbered.epochs(48, seed=4)) != first
    assert flat(seen(numbered.epochs(100, shuffle=False))) == list(range(ROWS))


def test_a_short_batch_is_dropped_if_asked(numbered: Resident) -> None:
    epochs = numbered.epochs(48, tail="drop")

    assert [len(batch) for batch in seen(epochs)] == [48] * 5
    assert (len(epochs), epochs.epoch) == (5, 1)
    assert len(numbered.epochs(52, tail="drop")) == len(numbered.epochs(52)) == 5


@pytest.mark.parametrize("stop", range(7))
@pytest.mark.parametrize("batch_size", [48, 30])
def test_an_epoch_goes_on_where_it_stopped(numbered: Resident, stop: int, batch_size: int) -> None:
    """Bit for bit, also with another batch size."""
    whole = numbered.epochs(48, seed=9)
    uninterrupted = flat(seen(whole)) + flat(seen(whole))
    before = numbered.epochs(48, seed=9)
    begun = iter(before)
    taken = [next(begun)["label"].tolist() for _ in range(min(stop, len(before)))]
    state = before.state_dict()
    after = numbered.epochs(batch_size)

    after.load_state_dict(state)
    rest = seen(after)
    rest += seen(after) if after.epoch == 1 else []

    assert (flat(taken) + flat(rest))[: len(uninterrupted)] == uninterrupted
    early = before.state_dict(taken=1)
    after.load_state_dict(early)
    assert flat(seen(after)) == uninterrupted[48:ROWS]


def test_a_state_of_something_else(parquet: Path, folders: dict[str, Path], numbered: Resident) -> None:
    """Other data, other shares, other patches: each named."""
    state = numbered.epochs(8).state_dict()
    others = {
        "digest": Resident(folders["arrow"], columns="label"),
        "world_size": Resident(parquet, columns="label", world_size=2),
        "patches": Resident(parquet, columns="label", ids=["training/000001"]),
    }
    for name, other in others.items():
        with pytest.raises(So2SatError, match=f"state: {name} .*; expected {name} "):
            other.epochs(8).load_state_dict(state)


# ---- refusals


@pytest.mark.parametrize("index", [[260], [-1], np.array([3, 300]), torch.tensor([-260])])
def test_a_number_that_is_not_there(parquet: Path, index: Any) -> None:
    with pytest.raises(RowError, match=r"no patch -?\d+; expected 0 to 259"):
        Resident(parquet, columns="label").batch(index)


def test_arguments_that_cannot_be(parquet: Path, numbered: Resident) -> None:
    """One clear error each."""
    with pytest.raises(So2SatError, match=r"columns: id, which is text.*\n.*resident.ids"):
        Resident(parquet, columns=("id", "label"))
    with pytest.raises(So2SatError, match="rank: 2; expected 0 to 1"):
        Resident(parquet, rank=2, world_size=2)
    with pytest.raises(So2SatError, match="batch_size: 0"):
        numbered.epochs(0)
    with pytest.raises(So2SatError, match="tail: 'cut'; expected pad or drop"):
        numbered.epochs(8, tail="cut")
    assert "city" not in Resident(parquet, columns="geo").batch([0])
