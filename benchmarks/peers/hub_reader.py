"""One way to read the dataset from a Hub: ``hub_reader.py PATTERN REPO WORK [--prepare]``.

Timed: opening the repository by its name and reading, with empty caches. Not timed: imports. Patterns that go
on where another process stopped are called with ``--prepare`` first, which reads so far and keeps the state
in WORK; this is not measured.
"""

import argparse
import functools
import gc
import json
import os
from pathlib import Path

SMALL_BLOCKS = {"hf": {"block_size": 2**16}}
"""Bytes that the Hub's file system reads beyond what is asked for; its own choice is 5 MiB."""

BATCH_ROWS = 256
STOP = 13 / 16
"""Share of train after which a stream is interrupted: inside the third of the four row groups of a file."""

FEW = ["id", "label", "city"]


class Reader:
    """Reads one repository; every pattern returns the rows that it got."""

    def __init__(self, repo, work):
        self.repo = repo
        self.state = work / "state.json"

    def stream(self, config=None, *, row_groups=False, **options):
        """Open the train split as a stream."""
        from datasets import load_dataset

        data = load_dataset(self.repo, config, split="train", streaming=True, **options)
        return data.reshard() if row_groups else data

    def open(self):
        """Read what describes the dataset, and no rows."""
        from datasets import load_dataset_builder

        load_dataset_builder(self.repo)
        return 0

    def first(self, config=None, **options):
        """Read one row of a stream."""
        rows = iter(self.stream(config, **options).with_format("numpy"))
        next(rows)
        del rows
        gc.collect()  # threads of pyarrow can hang at exit where a stream was half read
        return 1

    def whole(self, config=None, **options):
        """Read a stream to its end."""
        return self._count(self.stream(config, **options))

    def rank(self):
        """Read what the first of two ranks reads."""
        from datasets.distributed import split_dataset_by_node

        return self._count(split_dataset_by_node(self.stream(), rank=0, world_size=2))

    def workers(self):
        """Read with the two workers of a DataLoader."""
        from torch.utils.data import DataLoader

        stream = self.stream().with_format("torch")
        batches = DataLoader(stream, batch_size=BATCH_ROWS, num_workers=2)
        return sum(len(batch["label"]) for batch in batches)

    def prepare_resume(self, **options):
        """Read a part of a stream and keep the state."""
        stream = self.stream(**options).with_format("numpy")
        stop = round(STOP * stream.info.splits["train"].num_examples)
        for number, _ in enumerate(stream, 1):
            if number == stop:
                break
        self.state.write_text(json.dumps(stream.state_dict()))
        return stop

    def resume(self, **options):
        """Read the rest."""
        stream = self.stream(**options).with_format("numpy")
        stream.load_state_dict(json.loads(self.state.read_text()))
        return sum(1 for _ in stream)

    def map_style(self, config=None):
        """Download all splits of a config, and make the Arrow copy."""
        from datasets import load_dataset

        return sum(map(len, load_dataset(self.repo, config).values()))

    def _count(self, stream):
        batches = stream.with_format("numpy").iter(batch_size=BATCH_ROWS)
        return sum(len(next(iter(batch.values()))) for batch in batches)


SMALL = {"storage_options": SMALL_BLOCKS}
PATTERNS = {
    "open": (Reader.open, {}),
    "first": (Reader.first, {}),
    "first, row groups": (Reader.first, {"row_groups": True, **SMALL}),
    "first, sen2": (Reader.first, {"config": "sen2", **SMALL}),
    "first, mini": (Reader.first, {"config": "mini"}),
    "first, index": (Reader.first, {"config": "index"}),
    "whole": (Reader.whole, {}),
    "whole, small blocks": (Reader.whole, SMALL),
    "whole, row groups": (Reader.whole, {"row_groups": True}),
    "whole, row groups, small blocks": (Reader.whole, {"row_groups": True, **SMALL}),
    "sen2": (Reader.whole, {"config": "sen2"}),
    "sen2, small blocks": (Reader.whole, {"config": "sen2", **SMALL}),
    "sen1": (Reader.whole, {"config": "sen1"}),
    "sen1, small blocks": (Reader.whole, {"config": "sen1", **SMALL}),
    "columns": (Reader.whole, {"columns": FEW}),
    "columns, small blocks": (Reader.whole, {"columns": FEW, **SMALL}),
    "index": (Reader.whole, {"config": "index"}),
    "rgb": (Reader.whole, {"config": "rgb"}),
    "label": (Reader.whole, {"filters": [("label", "==", 9)]}),
    "label, small blocks": (Reader.whole, {"filters": [("label", "==", 9)], **SMALL}),
    "city": (Reader.whole, {"filters": [("city", "==", "cairo")]}),
    "city, small blocks": (Reader.whole, {"filters": [("city", "==", "cairo")], **SMALL}),
    "id, small blocks": (Reader.whole, {"filters": [("id", "<", "training/000100")], **SMALL}),
    "rank": (Reader.rank, {}),
    "workers": (Reader.workers, {}),
    "resume": (Reader.resume, SMALL),
    "resume, row groups": (Reader.resume, {"row_groups": True, **SMALL}),
    "map, mini": (Reader.map_style, {"config": "mini"}),
    "map": (Reader.map_style, {}),
}
"""Name -> what is called, with what."""


def main():
    from report import report

    parser = argparse.ArgumentParser()
    parser.add_argument("pattern", choices=tuple(PATTERNS))
    parser.add_argument("repo")
    parser.add_argument("work", type=Path)
    parser.add_argument("--prepare", action="store_true", help="read what comes before, and keep the state")
    arguments = parser.parse_args()
    import datasets  # noqa: F401 (not timed)

    if arguments.pattern == "workers":
        import torch  # noqa: F401 (not timed)
    method, options = PATTERNS[arguments.pattern]
    call = Reader.prepare_resume if arguments.prepare else method
    reader = Reader(arguments.repo, arguments.work)
    run = functools.partial(call, reader, **options)
    report(lambda: {"rows": run()}, ("datasets", "huggingface_hub", "fsspec", "pyarrow"))
    os._exit(0)  # see Reader.first


if __name__ == "__main__":
    main()
