"""One worker for all surfaces, and its valid files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzzing.runner import Worker


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """The process that tries inputs."""
    started = Worker(tmp_path_factory.mktemp("fuzz"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def base(worker: Worker) -> Path:
    """Folder of valid files, made when they are asked for."""
    return worker.base
