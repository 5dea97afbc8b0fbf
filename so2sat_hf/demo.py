"""The main job on generated data, from nothing to an opened dataset, with what happened at each step."""

import time
from collections.abc import Callable
from pathlib import Path

from so2sat_hf.assemble import extras
from so2sat_hf.convert.build import build
from so2sat_hf.convert.raw import is_raw_folder, open_raw
from so2sat_hf.convert.readme import configs
from so2sat_hf.convert.source import open_source
from so2sat_hf.convert.verify import verify
from so2sat_hf.errors import So2SatError
from so2sat_hf.pages.choice import Wish
from so2sat_hf.pages.contact_sheet import show
from so2sat_hf.synthetic import write_raw

NUM_ROWS = {"train": 2000, "validation": 400, "test": 400}
"""Generated patches of the demo; 413 MB of HDF5."""


def run(folder: Path, say: Callable[[str], None] = print) -> None:
    """Generate, build, verify, load (map style and streaming) and show.

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
    say(
        f"""
Next, with your own data:
  so2sat build RAW OUT              RAW is the folder with training.h5, validation.h5, testing.h5
  so2sat verify OUT --against RAW
  load_dataset("OUT")               in Python, after `from datasets import load_dataset`
Look at {sheet} and {out}/README.md, or delete {folder}: nothing else was written but the
cache of datasets (HF_HOME)."""
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
