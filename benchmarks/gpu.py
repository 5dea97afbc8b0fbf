"""Feed a model: the collator, the transform on the device, and what feeding costs a training step.

    python benchmarks/gpu.py [--device cuda] [--data SHARDS] [--out results/gpu-NAME.json]

``SHARDS`` is a folder that ``so2sat build --format arrow --sen2-dtype uint16`` wrote, with at least 2,048
patches of train; without it generated patches are built (that needs ``datasets``; the rest does not). Without
``--device`` a GPU is taken if there is one. On a CPU the models are the same, the batches small, and nothing
is compiled.

* **collator**: patches/s of batches and of lists of samples, beside a memory copy of the same batch.
* **prepare**: collator and transform beside the usual way, each sample for itself (flip, turn, resize,
  normalise with torch, then ``default_collate``), one thread; from memory, and from stored rows
  (``PatchTable`` beside ``datasets`` in its torch format), in random order; the same behind two workers; and
  a processor in ``datasets.map``.
* **step**: seconds of a training step (forward, backward, AdamW) on a constant tensor, and fed by
  ``Resident`` and by ``PatchStream``; their ratio; share of the device's peak at 3 x the operations of a
  forward pass.
"""

import argparse
import re
import tempfile
from pathlib import Path

import measure
import torch
from peers.feeding import collating, preparing, stepping

BATCHES = {"cuda": (2048, 256), "cpu": (64, 8)}
"""Patches of a step at 32 and at 224 pixels."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--quick", action="store_true", help="show that everything runs; write nothing")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        data = arguments.data or generated(Path(work), 600 if arguments.quick else 4096)
        result = run(data, arguments.device, quick=arguments.quick)
    if not arguments.quick:
        name = re.sub(r"[^a-z0-9]+", "-", result["device"].lower()).strip("-")
        measure.write_result(arguments.out or measure.HERE / "results" / f"gpu-{name}.json", result)


def generated(work, rows):
    """Return Arrow shards of generated patches."""
    from so2sat_hf.convert.build import build
    from so2sat_hf.convert.options import BuildOptions
    from so2sat_hf.convert.raw import open_raw
    from so2sat_hf.synthetic import write_raw

    write_raw(work / "raw", train=rows, validation=0, test=0, seed=0)
    build(open_raw(work / "raw"), work / "shards", BuildOptions(file_format="arrow", sen2_dtype="uint16"))
    return work / "shards"


def run(data, device, *, quick):
    is_gpu = device.startswith("cuda")
    result = {
        "device": torch.cuda.get_device_name() if is_gpu else "cpu",
        "torch": torch.__version__,
        "collator": [], "prepare": [], "steps": [],
    }  # fmt: skip
    repeats = 3 if quick else 15
    for section, cases in (("collator", collating), ("prepare", preparing)):
        for case in cases(data, repeats):
            show(case)
            result[section].append(case)
    small, large = BATCHES["cuda" if is_gpu else "cpu"] if not quick else (8, 2)
    for name, size, batch in (
        ("vit-small-8", 32, small),
        ("vit-small-16", 224, large),
        ("vit-base-16", 224, large),
    ):
        for compiled in (False, True) if is_gpu else (False,):
            if quick and size > 32:
                continue
            case = stepping(
                data,
                name,
                size,
                batch,
                device=device,
                compiled=compiled,
                steps=3 if quick else 30 if is_gpu else 5,
            )
            show(case)
            result["steps"].append(case)
    return result


def show(case):
    print(
        "  ".join(
            f"{key} {value:,.4g}" if isinstance(value, float) else f"{value}" for key, value in case.items()
        )
    )


if __name__ == "__main__":
    main()
