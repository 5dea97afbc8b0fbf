"""What people type for a dataset on the Hub, and what can only be a path."""

import pytest

from so2sat_hf.errors import So2SatError
from so2sat_hf.hub.address import parse_address


@pytest.mark.parametrize("text", ["raw", "./a/b", "/a/b", "a/b/c", "../a", "a/", "~/a", "a b/c", ""])
def test_what_can_only_be_a_path(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize("text", ["hf://a/b", "hf://datasets/a", "hf://datasets/a/b/c", "hf://datasets/a/b@"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(So2SatError, match="no address of a dataset"):
        parse_address(text)
