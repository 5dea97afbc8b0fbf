"""The main job on generated data, from nothing to an opened dataset, with what happened at each step."""

import contextlib
import importlib.util
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from so2sat_hf.assemble import extras
from so2sat_hf.convert.build import build
from so2sat_hf.convert.configs import configs
from so2sat_hf.convert.raw import is_raw_folder, open_raw
from so2sat_hf.convert.source import open_source
from so2sat_hf.convert.verify import verify
from so2sat_hf.errors import So2SatError
from so2sat_hf.pages.choice import Wish
from so2sat_hf.pages.contact_sheet import show
from so2sat_hf.synthetic import write_raw

NUM_ROWS = {"train": 2000, "validation": 400, "test": 400}
"""Generated patches of the demo; 413 MB of HDF5."""

TRAINING = {
    "model": "vit-tiny-8", "preset": "s2", "num_train_epochs": 5, "per_device_train_batch_size": 50,
    "use_cpu": True, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False,
}  # fmt: skip
"""Flags of the demo's training, about a minute on two cores."""


def run(folder: Path, say: Callable[[str], None] = print) -> None:
    """Generate, build, verify, load (map style and streaming), show, and train where torch is installed.

    Args:
        folder: where everything goes; steps that an earlier run finished are not done again.
        say: called with each line of the report.

    Raises:
        So2SatError: a step does not give what it must.
    """
    clock = _Clock(say)
    raw, out = folder / "raw", folder / "out"
    if not is_raw_folder(raw):
        write_raw(
            raw, train=NUM_ROWS["train"], validation=NUM_ROWS["validation"], test=NUM_ROWS["test"], seed=0
        )
    size = sum(path.stat().st_size for path in raw.glob("*.h5"))
    clock.step(
        f"generated {sum(NUM_ROWS.values()):,} patches in the published layout: {raw}, {size / 1e6:,.0f} MB"
    )
    source = open_raw(raw)
    report = build(source, out, extras=extras(source))
    sizes = report.manifest.tables.values()
    names = ", ".join(config.name for config in configs(report.manifest))
    clock.step(f"built {len(sizes)} Parquet files: {out}, {sum(sizes) / 1e6:,.0f} MB; configs {names}")
    result = verify(out, source)
    if result.problems:
        raise So2SatError(out, found=result.problems[0], expected="what the HDF5 holds")
    clock.step(f"verified {result.num_values:,} values back to the float64 of the HDF5: all equal")
    _load(out, clock)
    sheet = folder / "contact_sheet.png"
    ids = show(open_source(out), sheet, Wish(split="test", count=17), name=out.name)
    clock.step(f"drew {len(ids)} patches, one of each class: {sheet}")
    page = _train(out, folder / "run", clock)
    say(
        f"""
Next, with your own data:
  so2sat build RAW OUT              RAW is the folder with training.h5, validation.h5, testing.h5
  so2sat verify OUT --against RAW
  load_dataset("OUT")               in Python, after `from datasets import load_dataset`
  so2sat train --data OUT --output_dir RUN
Look at {", ".join(map(str, (sheet, out / "README.md", *page)))}, or delete {folder}:
nothing else was written but the cache of datasets (HF_HOME)."""
    )


def _load(out: Path, clock: "_Clock") -> None:
    from datasets import disable_progress_bars, load_dataset  # noqa: PLC0415

    disable_progress_bars()
    train = load_dataset(str(out), split="train")
    if len(train) != NUM_ROWS["train"]:
        raise So2SatError(out, found=f"{len(train)} training rows", expected=str(NUM_ROWS["train"]))
    row = train[0]
    name = train.features["label"].int2str(row["label"])
    clock.step(f'load_dataset("{out}"): {len(train):,} training rows; the first is {name} in {row["city"]}')
    stream = load_dataset(str(out), "sen2", split="test", streaming=True).with_format("numpy")
    rows = 0
    for batch in stream.iter(batch_size=256):  # to its end: Python can hang at exit in a half-read stream
        rows += len(batch["id"])
    clock.step(f'streamed {rows} rows of config "sen2": {batch["sen2"].shape[1:]} {batch["sen2"].dtype}')


def _train(out: Path, run: Path, clock: "_Clock") -> list[Path]:
    """Train a small model where torch is installed; return the page that says what it is worth."""
    if not all(importlib.util.find_spec(name) for name in ("torch", "accelerate")):
        clock.step("trained nothing: pip install 'so2sat_hf[train]' brings torch and accelerate")
        return []
    # Before torch: threads that wait sleep. Where others want the cores, spinning takes ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from so2sat_hf.training.finetune import main  # noqa: PLC0415 (seconds)
    from so2sat_hf.training.run import REPORT, is_finished  # noqa: PLC0415

    if not is_finished(run):
        with contextlib.redirect_stdout(io.StringIO()):  # progress goes to stderr
            main([text for name, value in TRAINING.items() for text in (f"--{name}", str(value))]
                 + ["--data", str(out), "--output_dir", str(run)])  # fmt: skip
    report = json.loads((run / REPORT).read_text())
    clock.step(
        f"trained {TRAINING['model']} for {TRAINING['num_train_epochs']} epochs: "
        f"{100 * report['metrics']['oa']:.1f} % of {report['patches']} test patches are right "
        f"(the largest class has {100 * _largest(report):.1f} %): {run / 'report.html'}"
    )
    return [run / "report.html"]


def _largest(report: dict[str, Any]) -> float:
    """Return the share of the largest class."""
    return float(max(row["patches"] for row in report["classes"]) / report["patches"])


class _Clock:
    """Says each step with the seconds it took."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = time.perf_counter()

    def step(self, text: str) -> None:
        """End a step."""
        now = time.perf_counter()
        self._say(f"{now - self._last:5.1f} s  {text}")
        self._last = now
