"""Where the tests of the facts find the real files."""

from pathlib import Path

import pytest

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def real():
    """Find a real file by its name, or skip the test where it is absent."""

    def find(name):
        path = REAL_DATA / name
        if not path.exists():
            pytest.skip(f"needs the real file {path}, which is absent")
        return path

    return find
