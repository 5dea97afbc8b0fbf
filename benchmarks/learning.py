"""Does it learn? A small model on generated patches, beside the ideal classifier of their law.

The generator knows the probability of every class for every patch (``so2sat_hf.synthetic.posterior``), so
the best accuracy that any classifier can reach on its test patches is known. ``vit-tiny-8`` is trained by
``so2sat train`` with Sentinel-2 alone and with both sensors, and once on labels that were shuffled, where
nothing can be learnt.

    python benchmarks/learning.py [--work DIR] [--out results/learning.json]
    python benchmarks/learning.py --render      # cards/model_card.md and its picture, from model_card.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

ROWS = {"train": 12_000, "validation": 2_000, "test": 4_000}
FLAGS = {"model": "vit-tiny-8", "per_device_train_batch_size": 64, "use_cpu": True, "disable_tqdm": True}
CASES = {
    "Sentinel-2": {"preset": "s2", "num_train_epochs": 7},
    "both sensors": {"preset": "all", "num_train_epochs": 7},
    "both sensors, shuffled labels": {"preset": "all", "num_train_epochs": 2},
}


def generate(raw, rows, seed=0):
    from so2sat_hf.synthetic import write_raw

    write_raw(raw, **rows, seed=seed)


def shuffle_labels(raw):
    """Hand the labels of every file out anew."""
    import h5py
    import numpy as np

    for name in ("training", "validation", "testing"):
        with h5py.File(raw / f"{name}.h5", "r+") as file:
            file["label"][...] = np.random.default_rng(0).permutation(file["label"][...])


def ideal(raw):
    """Return the accuracy of the ideal classifier on the test patches, by sensors."""
    import h5py

    from so2sat_hf.synthetic import posterior

    right = {"Sentinel-2": 0, "both sensors": 0}
    with h5py.File(raw / "testing.h5") as file:
        count = len(file["label"])
        for start in range(0, count, 500):
            part = slice(start, start + 500)
            labels = file["label"][part].argmax(axis=1)
            sen1, sen2 = file["sen1"][part], file["sen2"][part]
            for name, given in (("Sentinel-2", None), ("both sensors", sen1)):
                right[name] += int((posterior(given, sen2).argmax(axis=1) == labels).sum())
    return {name: hits / count for name, hits in right.items()}


def train(data, run, options):
    """Run ``so2sat train``; return its report and record."""
    flags = {"data": data, "output_dir": run, **FLAGS, **options}
    command = [text for name, value in flags.items() for text in (f"--{name}", str(value))]
    start = time.perf_counter()
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, "-m", "so2sat_hf.training.finetune", *command],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stdout[-3000:])
    seconds = time.perf_counter() - start
    report, record = (json.loads((run / name).read_text()) for name in ("report.json", "so2sat.json"))
    return report, record, seconds


def run_all(work, rows=None, cases=None):
    """Generate, build and train; return the results and what the card of the last honest model is made of."""
    from so2sat_hf.convert.build import build
    from so2sat_hf.convert.options import BuildOptions
    from so2sat_hf.convert.raw import open_raw

    raw, rows, cases = work / "raw", rows or ROWS, cases or CASES
    generate(raw, rows)
    best = ideal(raw)
    results, card = {}, {}
    options = BuildOptions(file_format="arrow", sen2_dtype="uint16")
    build(open_raw(raw), work / "shards", options)
    for name, flags in cases.items():
        is_shuffled = "shuffled" in name
        data = work / "shuffled" if is_shuffled else work / "shards"
        if is_shuffled:
            shuffle_labels(raw)
            build(open_raw(raw), data, options)
        report, record, seconds = train(data, work / name.replace(" ", "-"), flags)
        counts = [row["patches"] for row in report["classes"]]
        reachable = max(counts) / sum(counts) if is_shuffled else best[name]
        results[name] = {
            **flags, "oa": report["metrics"]["oa"], "kappa": report["metrics"]["kappa"], "ideal": reachable,
            "share": report["metrics"]["oa"] / reachable, "minutes": seconds / 60,
            "patches_per_second": record["patches_per_second"],
        }  # fmt: skip
        if not is_shuffled:
            card = {"record": record, "report": report}
    return {"rows": rows, "flags": FLAGS, "cases": results}, card


def render(cards):
    """Write the example of a model card, and its picture, from what the model left."""
    from so2sat_hf.pages.confusion_picture import confusion_picture
    from so2sat_hf.training.card import PICTURE, model_card

    card = json.loads((cards / "model_card.json").read_text())
    (cards / "model_card.md").write_text(model_card(card["record"], card["report"]))
    (cards / PICTURE).write_bytes(confusion_picture(card["report"]["confusion"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, help="where scratch data goes; default: where Python puts it")
    parser.add_argument("--out", type=Path, default=measure.HERE / "results" / "learning.json")
    parser.add_argument("--render", action="store_true", help="only write the example card anew")
    arguments = parser.parse_args()
    cards = measure.HERE.parent / "cards"
    if arguments.render:
        render(cards)
        return
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        results, card = run_all(Path(temporary))
    measure.write_result(arguments.out, results)
    (cards / "model_card.json").write_text(json.dumps(card, indent=1) + "\n")
    render(cards)
    for name, found in results["cases"].items():
        print(
            f"{name}: {100 * found['oa']:.1f} % of {100 * found['ideal']:.1f} %, {found['minutes']:.1f} min"
        )


if __name__ == "__main__":
    main()
