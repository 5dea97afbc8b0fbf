"""A small dataset repository for the local Hub, and what tests of it say often."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError

ID = "zhu-xlab/So2Sat-LCZ42"
OURS = {"repo_id": ID, "repo_type": "dataset"}
README = b"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
---
# A dataset
"""


def parquet(start: int) -> bytes:
    """50 rows with an id, counted from `start`."""
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": range(start, start + 50)}), buffer)
    return buffer.getvalue()


FILES = {"README.md": README, "data/a.parquet": parquet(0), "data/b.parquet": parquet(50)}


def add(path: str, content: bytes = b"text") -> list[CommitOperationAdd]:
    return [CommitOperationAdd(path, content)]


@contextmanager
def refused(status: int, text: str = ".") -> Iterator[pytest.ExceptionInfo[HfHubHTTPError]]:
    """Expect an answer with this status, and a message that a user would see."""
    with pytest.raises(HfHubHTTPError, match=text) as caught:
        yield caught
    assert caught.value.response.status_code == status
