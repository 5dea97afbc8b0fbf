"""The data files of facts, which lie beside this module."""

import csv
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def read_toml(name: str) -> dict[str, Any]:
    """Return the tables of a TOML file, read once."""
    return tomllib.loads(read_text(name))


def read_csv(name: str) -> list[dict[str, str]]:
    """Return the rows of a table; lines that start with # are comments."""
    lines = read_text(name).splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def read_text(name: str) -> str:
    """Return the content of a file."""
    return (files(__package__) / name).read_text(encoding="utf-8")
