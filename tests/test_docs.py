"""The README, kept true: its commands exist, its code runs, its numbers are those of the results files."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from so2sat_hf.cli import cli
from so2sat_hf.convert.build import build
from so2sat_hf.convert.raw import RawSource

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    """Every ``so2sat`` command line of the README, in blocks and in text."""
    lines = [
        line for language in ("bash", "text") for block in blocks(language) for line in block.splitlines()
    ]
    typed = re.findall(r"`(so2sat [^`]+)`", README)
    return [line.split("&&")[-1].split("#")[0].strip() for line in (*lines, *typed) if "so2sat " in line]


@pytest.mark.parametrize("line", [line for line in commands() if re.match(r"so2sat [a-z]", line)])
def test_commands_of_the_readme_exist(line: str) -> None:
    """Names and options as the command line has them."""
    words = shlex.split(line.replace("[", "").replace("]", ""))
    command = cli.commands[words[1]]
    options = {option for parameter in command.params for option in parameter.opts}

    if words[1] == "train":
        options |= flags_of_training()
    for word in re.findall(r"--[a-z0-9_-]+", line):
        assert word in options | {"--help"}


def flags_of_training() -> set[str]:
    """What ``so2sat train`` hands on."""
    from dataclasses import fields

    from so2sat_hf.training.arguments import FineTuneArguments
    from so2sat_hf.training.options import DataArguments, ModelArguments

    kinds = (ModelArguments, DataArguments, FineTuneArguments)
    return {f"--{each.name}" for kind in kinds for each in fields(kind)}


def test_every_command_is_in_the_readme() -> None:
    """Nothing is there that the reader is not told of."""
    for name in cli.commands:
        assert f"so2sat {name}" in README


def test_python_of_the_readme_runs(
    source: RawSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As printed, in a folder with a built ``out``; torch only where it is installed."""
    build(source, tmp_path / "out", jobs=1)
    monkeypatch.chdir(tmp_path)
    for block in blocks("python"):
        code = block.replace('.with_format("torch")', '.with_format("numpy")')
        on_cpu = "columns=False, use_cpu=True, dataloader_pin_memory=False, disable_tqdm=True)"
        code = code.replace("columns=False)", on_cpu)
        names: dict[str, object] = {}
        exec(compile(code, "README.md", "exec"), names)
        if "sen2" in names:
            assert names["sen2"].shape == (260, 10, 32, 32)
        if {"train", "stream"} <= names.keys():
            assert len(names["train"]) == 260
            assert "sen1" not in next(iter(names["stream"]))
        if "table" in names and "PatchTable" in block:
            assert names["table"][[7, 3, 5]]["sen2"].shape == (3, 10, 32, 32)


def test_the_paths_of_contributing_exist() -> None:
    """Folders, scripts and files that newcomers are sent to."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`([\w.]*/[\w./]*)`", text) + re.findall(r"\]\(([\w.]+)\)", text)
    for path in named:
        assert any((folder / path).exists() for folder in (ROOT, ROOT / "so2sat_hf")), path
    assert len(named) > 15


def test_both_install_lines_use_the_constraints() -> None:
    """Plain torch would bring gigabytes of CUDA; CI runs the second line as printed."""
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]

    assert [line.split(" && ")[-1] for line in lines] == ["so2sat demo", "pytest"]
    assert all("-c .ci/constraints.txt" in line for line in lines)
    assert "torch==2.13.0" in (ROOT / ".ci" / "constraints.txt").read_text()


def test_the_columns_of_the_readme_are_those_of_the_contract() -> None:
    """Names and band order."""
    from so2sat_hf import facts
    from so2sat_hf.convert.patches import COLUMNS

    table = README.partition("## What is in a row")[2].partition("##")[0]

    assert (
        tuple(re.findall(r"`([a-z0-9_]+)`", " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))
        == COLUMNS
    )
    for sensor in ("sen1", "sen2"):
        assert " ".join(band.name for band in facts.bands(sensor)) in table


def test_no_file_names_a_place_of_a_machine() -> None:
    """No absolute path of anybody's machine in what is published."""
    pages = [ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")]
    results = [*(ROOT / "benchmarks").rglob("*.json"), *(ROOT / "benchmarks").rglob("*.txt")]
    for path in [*pages, *results]:
        assert not re.search(r"(?<![\w./])/(home|root|work|tmp|Users)/", path.read_text()), path.name


def test_the_figures_of_the_readme_are_those_of_the_results() -> None:
    """The block between the marks is made by benchmarks/table.py, and nobody edits it."""
    script = ROOT / "benchmarks" / "table.py"

    done = subprocess.run([sys.executable, script, "--check"], check=False)

    assert done.returncode == 0, "run python benchmarks/table.py"


def test_the_benchmark_runs(tmp_path: Path) -> None:
    """A smoke run of every contender that is installed here."""
    script = ROOT / "benchmarks" / "build.py"
    args = [sys.executable, script, "--quick", "--work", tmp_path]

    done = subprocess.run(args, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "so2sat parquet, 2 jobs" in done.stdout


def test_the_benchmark_of_feeding_runs(tmp_path: Path) -> None:
    """A smoke run on the CPU; nothing is written."""
    script = ROOT / "benchmarks" / "gpu.py"
    args = [sys.executable, script, "--quick", "--device", "cpu"]

    done = subprocess.run(args, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "vit-small-8 at 32 px" in done.stdout
    assert not list(tmp_path.iterdir())


def test_results_are_json_with_a_machine() -> None:
    """A number without its machine is no number."""
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert json.loads(path.read_text())["machine"], path.name


def test_the_citation_of_the_readme_is_that_of_the_facts() -> None:
    """One entry, in one wording."""
    (entry,) = blocks("bibtex")

    assert entry.strip() in (ROOT / "so2sat_hf" / "facts" / "citation.bib").read_text()


def test_links_of_the_readme_lead_somewhere() -> None:
    """Headings of the page, and files of the repository."""
    heads = {
        re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-")
        for head in re.findall(r"^#+ (.*)", README, re.MULTILINE)
    }
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)

    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        assert not path or (ROOT / path).exists(), link
        assert not anchor or anchor in heads, link
