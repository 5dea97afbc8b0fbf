"""What is written in JSON, YAML and TOML: manifests, statistics, the head of the README, presets."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzzing.base import linked, made, replaced, true_rows
from fuzzing.mutate import changed_tree, damaged
from fuzzing.tables import READERS, compare, verified
from so2sat_hf.errors import VerificationError

Attempt = Callable[[Random, Path], None]


def manifests(base: Path) -> Attempt:
    """``manifest.json`` of folders of both formats, and whatever is done with it."""
    from so2sat_hf.convert.manifest import Manifest

    def attempt(rng: Random, folder: Path) -> None:
        from so2sat_hf.convert import readme
        from so2sat_hf.convert.inspect import describe

        name = rng.choice(("out", "shards"))
        copy = linked(made(base, name), folder / "out")
        text = (copy / "manifest.json").read_text()
        new = (
            damaged(text.encode(), rng) if rng.random() < 0.2 else _json(changed_tree(json.loads(text), rng))
        )
        replaced(copy / "manifest.json", new)
        manifest = Manifest.read(copy)
        for path in manifest.paths:
            assert (copy / path).resolve().is_relative_to(copy.resolve()), (
                "a path that leads out of the folder"
            )
        what = rng.randrange(4)
        if what == 0:
            readme.head(manifest)
        elif what == 1:
            describe(copy)
        elif what == 2:
            _card(copy)
        else:
            reader = rng.choice(READERS[name])
            found = reader(copy)
            if reader is not verified:
                compare(found, true_rows(base))

    return attempt


def _json(tree: Any) -> bytes:
    return json.dumps(tree, default=str).encode()


def _card(folder: Path) -> None:
    from click.testing import CliRunner

    from so2sat_hf.cli import cli

    result = CliRunner().invoke(cli, ["card", str(folder), "--check"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception


def statistics(base: Path) -> Attempt:
    """``statistics.json``, with a manifest that knows its hash or not."""
    built = made(base, "out")
    text = (built / "statistics.json").read_text()

    def attempt(rng: Random, folder: Path) -> None:
        from so2sat_hf.load.files import open_place
        from so2sat_hf.vision.catalogue import preset, statistics_of

        copy = linked(built, folder / "out")
        new = (
            damaged(text.encode(), rng) if rng.random() < 0.2 else _json(changed_tree(json.loads(text), rng))
        )
        replaced(copy / "statistics.json", new)
        if rng.random() < 0.3:
            _card(copy)
            return
        for name in ("s2", "s1"):
            found = preset(name, copy).complete()
            found.with_ranges(statistics_of(open_place(copy)))

    return attempt


def readmes(base: Path) -> Attempt:
    """The YAML at the head of the README."""
    built = made(base, "out")
    text = (built / "README.md").read_text()
    _, head, page = text.split("---\n", 2)
    tree = yaml.safe_load(head)

    def attempt(rng: Random, folder: Path) -> None:
        copy = linked(built, folder / "out")
        if rng.random() < 0.3:
            new = damaged(text.encode(), rng)
        else:
            other = yaml.safe_dump(changed_tree(tree, rng), sort_keys=False)
            at = rng.randrange(len(other) + 1)
            if rng.random() < 0.3:
                other = other[:at] + rng.choice(ODD_YAML) + other[at:]
            new = f"---\n{other}---\n{page}".encode()
        replaced(copy / "README.md", new)
        problems = verified(copy)
        assert problems or _told(new) == _told(text.encode()), "a README that leads elsewhere"
        _card(copy)
        if problems:
            raise VerificationError("README.md", found=problems[0], expected="the README of the manifest")

    return attempt


ODD_YAML = (
    *(
        "!!python/object/apply:os.system ['true']",
        "&a [*a]",
        "*nothing",
        "? ",
        "%TAG ! x",
        "\t",
        "!!binary x",
    ),
    *("2001-99-99", "<<: 1", "!!timestamp 9", "0x", "1e999", "{{{{", "\x07", "\ufeff", "...\n", "---\n"),
)


def _told(content: bytes) -> Any:
    """Return what the README tells ``load_dataset``; None if that cannot read it either."""
    try:
        head = yaml.safe_load(content.decode().split("---\n")[1])
        return head["configs"], head["dataset_info"]
    except Exception:  # noqa: BLE001 (whatever it is)
        return None


def presets(base: Path) -> Attempt:
    """Presets as TOML files."""
    from so2sat_hf.vision.catalogue import presets as every

    trees = [json.loads(json.dumps(each.to_dict())) for each in every().values()]
    trees = [_without_nothing(tree) for tree in trees]

    def attempt(rng: Random, folder: Path) -> None:
        from so2sat_hf.vision.catalogue import preset
        from so2sat_hf.vision.preset_file import as_toml
        from so2sat_hf.vision.processor import image_processor, preset_of

        path = folder / "mine.toml"
        text = _toml(changed_tree(rng.choice(trees), rng)).encode(errors="replace")
        path.write_bytes(damaged(text, rng) if rng.random() < 0.3 else text)
        found = preset(path)
        (folder / "again.toml").write_text(as_toml(found), encoding="utf-8")
        assert preset(folder / "again.toml") == found, "another preset when written and read again"
        if found.is_complete and len(found.inputs) == 1:
            preset_of(image_processor(found))

    return attempt


def _without_nothing(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_nothing(value) for key, value in tree.items() if value is not None}
    return [_without_nothing(each) for each in tree] if isinstance(tree, list) else tree


def _toml(tree: Any) -> str:
    """Return a tree as TOML, or as something like it."""
    if not isinstance(tree, dict):
        return f"x = {_value(tree)}"
    return "\n".join(f"{_key(key)} = {_value(value)}" for key, value in tree.items()) + "\n"


def _key(key: Any) -> str:
    return json.dumps(str(key))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if value is None:
        return '""'
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf"
    return json.dumps(value, ensure_ascii=False)
