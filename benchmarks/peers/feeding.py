"""The measurements of gpu.py."""

import statistics
import time
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate
from torch.utils.flop_counter import FlopCounterMode
from transformers import ViTForImageClassification

from so2sat_hf.load.resident import Resident
from so2sat_hf.load.stream import PatchStream
from so2sat_hf.load.table import PatchTable
from so2sat_hf.vision.augmentation import Augmentation
from so2sat_hf.vision.catalogue import preset
from so2sat_hf.vision.collate import So2SatCollator
from so2sat_hf.vision.from_scratch import scratch_config
from so2sat_hf.vision.image_processing import stored_values
from so2sat_hf.vision.processor import image_processor
from so2sat_hf.vision.transform import So2SatTransform

BATCH = 256
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bfloat16 operations per second, as the maker states them (SXM)."""


def seconds(work):
    """Return the time of a piece of work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(works, repeats):
    """Return the median times of some pieces of work, in turns.

    Each is done once before it is timed: what the one before it left of the heap would count as page faults
    of this one, and a training loop does not change its work with every batch.
    """

    def warm(work):
        work()
        return seconds(work)

    rounds = [[warm(work) for work in works] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def batch_of(data, columns, dtype):
    """Return a batch of stored patches; sen2 as digital numbers or as reflectance."""
    batch = PatchTable(data, columns=columns)[np.arange(BATCH)]
    if "sen2" in batch and dtype == "float32":
        batch["sen2"] = stored_values(torch.from_numpy(batch["sen2"])).numpy()
    return batch


def collating(data, repeats):
    """Yield the rates of the collator beside a copy of what comes in."""
    torch.set_num_threads(1)
    for name in ("s2", "rgb", "s1", "all"):
        for dtype in ("float32", "uint16") if name != "s1" else ("float32",):
            collate = So2SatCollator(name)
            batch = batch_of(data, (*collate.sensors, "label"), dtype)
            samples = [{key: values[number] for key, values in batch.items()} for number in range(BATCH)]

            def copy(batch=batch):
                return {key: np.copy(values) for key, values in batch.items()}

            ready, of_ready = in_turns([lambda c=collate, b=batch: c(b), copy], repeats)
            listed, of_listed = in_turns([lambda c=collate, s=samples: c(s), copy], repeats)
            yield {
                "case": f"{name}, {dtype}",
                "batch_patches_per_second": BATCH / ready,
                "batch_over_copy": of_ready / ready,
                "samples_patches_per_second": BATCH / listed,
                "samples_over_copy": of_listed / listed,
            }


def preparing(data, repeats):
    """Yield the rates of collator and transform beside each sample for itself, from memory and from rows."""
    torch.set_num_threads(1)
    for name in ("s2", "all"):
        found = preset(name, data)
        collate = So2SatCollator(found)
        columns = (*collate.sensors, "label")
        batch = batch_of(data, columns, "float32")
        samples = [{key: values[number] for key, values in batch.items()} for number in range(BATCH)]
        table, rows = PatchTable(data, columns=columns), rows_of_datasets(data, columns)
        rates = {}
        for size in (32, 224):
            count, times = (BATCH if size == 32 else 32), max(3, repeats // 3)
            transform, one = So2SatTransform(found, size=size), each_for_itself(found, size)
            part = {key: values[:count] for key, values in batch.items()}
            work = {
                "ours": lambda t=transform, b=part, c=collate: t(c(b)),
                "sample_by_sample": lambda n=count, o=one, s=samples: default_collate([o(x) for x in s[:n]]),
            }
            if size == 32:
                processor = image_processor(found)
                work["processor"] = lambda p=processor, s=samples: [p(x, return_tensors="pt") for x in s]
                work["ours_from_rows"] = lambda t=transform, c=collate, r=table: t(c(r[some_of(r)]))
                if rows is not None:
                    work["sample_by_sample_from_rows"] = lambda o=one, r=rows: default_collate(
                        [o(r[number]) for number in some_of(r).tolist()]
                    )
            for key, median in zip(work, in_turns(list(work.values()), times), strict=True):
                rates[f"{key}_{size}"] = count / median
        rates["ratio_32"] = rates["ours_32"] / rates["sample_by_sample_32"]
        rates["ratio_32_to_224"] = rates["ours_32"] / rates["sample_by_sample_224"]
        if rows is not None:
            rates["ratio_from_rows"] = rates["ours_from_rows_32"] / rates["sample_by_sample_from_rows_32"]
            rates |= in_workers_and_map(found, table, rows)
        yield {"case": name, **rates}


def in_workers_and_map(found, table, rows):
    """Return the rates behind a DataLoader with two workers, and of a processor in `map`."""
    one, processor = each_for_itself(found, 32), image_processor(found)
    ours = So2SatCollator(found, transform=So2SatTransform(found))
    sensors = list(found.sensors)

    def processed(row):
        return {"pixel_values": processor(row, return_tensors="np")["pixel_values"][0]}

    some = rows.select(range(BATCH)).select_columns(sensors).with_format("numpy")
    start = time.perf_counter()
    some.map(processed, remove_columns=sensors, keep_in_memory=True, load_from_cache_file=False)
    mapped = BATCH / (time.perf_counter() - start)
    mine, theirs = (
        statistics.median(behind_workers(dataset, collate) for _ in range(3))
        for dataset, collate in ((table, ours), (rows, lambda s: default_collate([one(each) for each in s])))
    )
    return {"ours_2_workers": mine, "sample_by_sample_2_workers": theirs, "processor_in_map": mapped}


def behind_workers(dataset, collate):
    """Return patches per second of a shuffled epoch after its first batch."""
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=2, collate_fn=collate)
    batches = iter(loader)
    next(batches)
    start = time.perf_counter()
    count = sum(len(batch["labels"]) for batch in batches)
    return count / (time.perf_counter() - start)


def some_of(rows):
    """Return the numbers of a batch, at random."""
    return np.random.default_rng().integers(0, len(rows), BATCH)


def rows_of_datasets(data, columns):
    """Return the same patches as `datasets` gives them, with tensors; None where it is not installed."""
    try:
        from datasets import disable_progress_bars, load_dataset
    except ImportError:
        return None
    disable_progress_bars()
    return load_dataset(str(data), split="train").select_columns(list(columns)).with_format("torch")


def each_for_itself(found, size):
    """Return what people write: one sample -> its tensors, in floats as stored."""
    mean, std = (
        torch.tensor([getattr(s, key) for s in found.slots])[:, None, None] for key in ("mean", "std")
    )
    units = [slot.unit for slot in found.slots]
    scale = torch.tensor([slot.scale or 1.0 for slot in found.slots])[:, None, None]
    decibel = [number for number, unit in enumerate(units) if unit == "dB"]
    curved = [number for number, unit in enumerate(units) if unit == "asinh"]

    def one(sample):
        pixels = torch.cat([as_float(sample[sensor]) for sensor in found.sensors])
        pixels = torch.rot90(pixels, int(torch.randint(4, ())), (1, 2))
        if torch.rand(()) < 0.5:
            pixels = pixels.flip(2)
        if decibel:
            pixels[decibel] = 10 * torch.log10(pixels[decibel].clamp_min(1e-6))
            pixels[curved] = torch.asinh(pixels[curved] / scale[curved])
        if size != pixels.shape[-1]:
            pixels = torch.nn.functional.interpolate(
                pixels[None], (size, size), mode="bilinear", antialias=True
            )[0]
        return {"pixel_values": (pixels - mean) / std, "labels": int(sample["label"])}

    return one


def as_float(values):
    """Return stored values as a float tensor, as people would."""
    tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(values)
    return tensor if tensor.is_floating_point() else tensor / 10_000


def stepping(data, name, size, batch, *, device, compiled, steps):
    """Return the times of a training step: on a constant tensor, resident, streamed."""
    torch.set_num_threads(torch.get_num_threads() if device != "cpu" else 2)
    found = replace(preset("s2", data), size=size)
    family, _, patch = name.rpartition("-")
    config = scratch_config(f"{family}-8", found, patch_size=int(patch))
    train = Training(ViTForImageClassification(config).to(device).train(), compiled=compiled)
    transform = So2SatTransform(found, augment=Augmentation(mixup=0.2), dtype=torch.float32).to(device)
    if compiled:
        transform.compile()
    constant = {
        "pixel_values": torch.randn(batch, len(found.slots), size, size, device=device),
        "soft_labels": torch.full((batch, 17), 1 / 17, device=device),
    }
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        train.model(pixel_values=constant["pixel_values"][:1])
    operations = 3 * batch * counter.get_total_flops()
    feeds = {
        "constant": lambda: (constant for _ in iter(int, 1)),
        "resident": lambda: resident(data, found, batch, device, transform),
        "streamed": lambda: streamed(data, found, batch, device, transform),
    }
    times = {key: train.seconds(feed(), steps, device) for key, feed in feeds.items()}
    peak = next(
        (peak for key, peak in PEAKS.items() if device != "cpu" and key in torch.cuda.get_device_name()), None
    )
    return {
        "case": f"{name} at {size} px, batch {batch}, {'compiled' if compiled else 'eager'}",
        **{f"{key}_seconds": round(value, 6) for key, value in times.items()},
        "patches_per_second": batch / times["constant"],
        "resident_over_constant": times["resident"] / times["constant"],
        "streamed_over_constant": times["streamed"] / times["constant"],
        "share_of_peak": operations / times["constant"] / peak if peak else None,
    }


class Training:
    """A model with its optimiser."""

    def __init__(self, model, *, compiled):
        self.model = model
        self.forward = torch.compile(model, dynamic=False) if compiled else model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step(self, batch):
        device = batch["pixel_values"].device.type
        with torch.autocast(device, torch.bfloat16):
            logits = self.forward(pixel_values=batch["pixel_values"]).logits
        torch.nn.functional.cross_entropy(logits.float(), batch["soft_labels"]).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def seconds(self, batches, steps, device):
        """Return the seconds of a step, warm, batches included."""
        for _ in range(5 if device != "cpu" else 2):
            self.step(next(batches))
        synchronise(device)
        start = time.perf_counter()
        for _ in range(steps):
            self.step(next(batches))
        synchronise(device)
        return (time.perf_counter() - start) / steps


def resident(data, found, batch, device, transform):
    """Batches by number out of the memory of the device, for ever."""
    split = Resident(data, columns=("sen2", "label"), device=device)
    collate = So2SatCollator(found)
    while True:
        for taken in split.epochs(batch_size=batch, seed=0, tail="drop"):
            pixels = {"pixel_values": taken["sen2"], "labels": taken["label"]}
            yield transform(pixels if device != "cpu" else collate(taken))


def streamed(data, found, batch, device, transform):
    """Batches of a shuffled stream, moved to the device, for ever."""
    columns, pin = ("sen2", "label"), device != "cpu"
    stream = PatchStream(data, columns=columns, batch_size=batch, tail="drop", form="torch", pin=pin)
    collate = So2SatCollator(found)
    while True:
        for taken in stream:
            moved = {key: value.to(device, non_blocking=True) for key, value in collate(taken).items()}
            yield transform(moved)


def synchronise(device):
    if device != "cpu":
        torch.cuda.synchronize()
