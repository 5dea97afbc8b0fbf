"""Files that users name, and options that several commands share."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from so2sat_hf.cli import cli
from so2sat_hf.cli.output import write_file
from so2sat_hf.errors import FolderError
from so2sat_hf.facts.labels import palettes


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Text or bytes, and nothing beside it."""
    write_file(tmp_path / "found.json", "old")

    write_file(tmp_path / "found.json", b"new")

    assert (tmp_path / "found.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]


def test_links_and_devices_are_written_through(tmp_path: Path) -> None:
    """A link stays a link, ``/dev/null`` stays where it is."""
    (tmp_path / "there.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "there.json")

    write_file(tmp_path / "link.json", "new")
    write_file(Path("/dev/null"), "nothing")

    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "there.json").read_text() == "new"
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(("name", "message"), [("absent/a.json", "no such folder"), ("folder", "directory")])
def test_what_cannot_be_written_is_one_error(tmp_path: Path, name: str, message: str) -> None:
    """A folder that is not there is not made; one that is in the way stays."""
    (tmp_path / "folder").mkdir()

    with pytest.raises(FolderError, match=message):
        write_file(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("command", ["classes", "map"])
def test_help_lists_every_palette(command: str) -> None:
    """As the file of palettes has them, so that a new one shows."""
    shown = " ".join(CliRunner().invoke(cli, [command, "--help"]).output.split())

    assert f"Colours: {', '.join(palettes())}." in shown
