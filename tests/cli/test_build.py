"""``so2sat match`` and what ``build`` says of version 3 and companions."""

import shutil
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner, Result
from regrouped import write_rows, write_version_3

from so2sat_hf.cli import cli
from so2sat_hf.convert.manifest import Manifest


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def version_3(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("v3")
    write_version_3(raw, folder, seed=4)
    return folder


def test_one_version_at_a_time(raw: Path, version_3: Path, tmp_path: Path) -> None:
    """Matched, extended, used; what the table says is printed."""
    table, out = tmp_path / "m.parquet", tmp_path / "out"

    first = run("match", version_3 / "random", "--against", raw, "-o", table, "-j", 1)
    second = run("match", version_3 / "block", "--against", raw, "-o", table, "-j", 1)
    built = run("build", raw, out, "--membership", table, "--complete", "--companions", "", "-j", 1)

    assert first.exit_code == 0, first.output
    assert "random: train 336, test 84" in first.stdout
    assert "block: train 336, test 84" in second.stdout
    assert "random: train 336" in second.stdout
    assert f"so2sat build {raw} OUT --membership {table}" in second.stderr
    assert built.exit_code == 0, built.output
    assert "versions: culture_10, v1, culture_10_v3, random, block" in built.stdout
    assert len(Manifest.read(out).cells) == 12


def test_a_table_of_other_files_is_not_extended(raw: Path, version_3: Path, tmp_path: Path) -> None:
    """Nothing is overwritten by mistake."""
    table = tmp_path / "m.parquet"
    assert run("match", version_3 / "random", "--against", raw, "-o", table, "-j", 1).exit_code == 0
    before = table.read_bytes()
    names = [f"testing/{row:06d}" for row in range(70)]
    others = {"training": names[:50], "validation": names[50:60], "testing": names[60:]}
    for stem, rows in others.items():
        write_rows(raw, tmp_path / "other" / f"{stem}.h5", rows)
    for stem, rows in (("training", names[:40]), ("testing", names[40:])):
        write_rows(raw, tmp_path / "block" / f"{stem}.h5", rows)

    result = run("match", tmp_path / "block", "--against", tmp_path / "other", "-o", table, "-j", 1)

    assert result.exit_code == 1
    assert "made from other files" in result.stderr
    assert table.read_bytes() == before


def test_left_out_patches_are_said_and_counted(raw: Path, version_3: Path, tmp_path: Path) -> None:
    """A warning, the manifest, the card; an error with --complete."""
    folder = tmp_path / "block"
    folder.mkdir()
    (folder / "training.h5").symlink_to(version_3 / "block" / "training.h5")
    shutil.copy(version_3 / "block" / "testing.h5", folder / "testing.h5")
    with h5py.File(folder / "testing.h5", "a") as file:
        for key in ("sen1", "sen2", "label"):
            values = file[key][:1]
            del file[key]
            file[key] = values
    table = tmp_path / "m.parquet"

    result = run("match", folder, "--against", raw, "-o", table, "-j", 1)

    assert "Warning: version 3 block leaves out 83 patches" in result.stderr
    assert run("match", folder, "--against", raw, "-o", table, "--complete", "-j", 1).exit_code == 1
    out = tmp_path / "out"
    built = run("build", raw, out, "--membership", table, "--companions", "", "-j", 1)
    assert "leaves out 83 patches" in built.stderr
    assert Manifest.read(out).left_out == {"block": 83}
    assert "83" in (out / "README.md").read_text()
    assert run("build", raw, out, "--membership", table, "--complete").exit_code == 1


def test_folders_beside_the_files_are_matched_by_the_build(
    raw: Path, version_3: Path, tmp_path: Path
) -> None:
    """And a build that gets them later says what it will redo."""
    folder, out = tmp_path / "raw", tmp_path / "out"
    folder.mkdir()
    for path in raw.glob("*.h5"):
        (folder / path.name).symlink_to(path)
    assert run("build", folder, out, "-j", 1).exit_code == 0
    (folder / "random").symlink_to(version_3 / "random")

    result = run("build", folder, out, "-j", 1)

    assert result.exit_code == 0, result.output
    assert "Matching version 3 random with version 2." in result.stderr
    assert "holds 3 data files; the patches are now in 6 others" in result.stderr
    assert "versions: culture_10, v1, culture_10_v3, random;" in result.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["match", "{v3}", "--against", "{raw}"], "give one split of version 3"),
        (["match", "{raw}", "--against", "{raw}"], "a folder random, block or culture_10 of version 3"),
        (
            ["match", "{v3}/random", "--against", "{v3}/block"],
            "training, validation and testing of version 2",
        ),
        (
            ["build", "{raw}", "{out}", "--membership", "{raw}/training.h5"],
            "a table that `so2sat match` wrote",
        ),
        (["build", "{raw}", "{out}", "--companions", "index,mimi"], "no companion 'mimi'"),
        (["build", "{v3}/random", "{out}", "--membership", "{table}"], "version 3 random by itself"),
    ],
)
def test_mistakes_are_one_clear_error(
    raw: Path, version_3: Path, tmp_path: Path, args: list[str], message: str
) -> None:
    """Exit code 1, no traceback, nothing written."""
    table = tmp_path / "table.parquet"
    if "{table}" in args:
        assert run("match", version_3 / "random", "--against", raw, "-o", table, "-j", 1).exit_code == 0
    places = {"raw": raw, "v3": version_3, "out": tmp_path / "out", "table": table}

    result = run(*(arg.format(**places) for arg in args))

    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()
