"""The dataset card: every page true to what it is made of, the published one current, drift found."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from card_folder import out, raw, rows_of, split_card
from click.testing import CliRunner

from so2sat_hf import facts
from so2sat_hf.cli import Group
from so2sat_hf.cli.card import card as card_command
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.errors import FolderError
from so2sat_hf.hub import card, tables
from so2sat_hf.hub.contents import as_published

__all__ = ["out", "raw"]  # fixtures

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "cards" / "dataset_card.md"
WITHOUT_GEO = ("id", "sen1", "sen2", "label")


@pytest.fixture
def copy(out, tmp_path):
    """The small files of the folder, for a test that changes them."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in (out / name for name in ("README.md", "manifest.json", "statistics.json")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run ``so2sat card`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    group = Group(commands=[card_command])
    return lambda *arguments: CliRunner().invoke(group, ["card", *map(str, arguments)])


def number(text):
    return int(text.replace(",", ""))


def cards_of_builds(manifest, texts):
    """Name -> manifest and texts of folders that hold less or other things."""
    alone = {key.replace("validation", "test"): record for key, record in manifest.cells.items()}
    arrow = tuple(
        replace(plan, files=tuple(replace(f, path=f.path.replace(".parquet", ".arrow")) for f in plan.files))
        for plan in manifest.companions
    )
    plain = {"cells": {"train": manifest.total(manifest.configs["culture_10"]["train"])}, "shards": ()}
    return {
        "whole": (manifest, texts),
        "no statistics": (manifest, {}),
        "no companions": (replace(manifest, companions=()), texts),
        "no geolocation": (
            replace(manifest, columns=WITHOUT_GEO, geolocation=None, companions=()),
            texts,
        ),
        "2025": (replace(manifest, geolocation="2025"), texts),
        "optical": (replace(manifest, columns=("id", "sen2", "label"), geolocation=None), texts),
        "radar": (replace(manifest, columns=("id", "sen1", "label"), geolocation=None, companions=()), texts),
        "no pixels": (replace(manifest, columns=("id", "label"), companions=()), {}),
        "digital numbers": (
            replace(manifest, file_format="arrow", sen2_dtype="uint16", companions=arrow),
            texts,
        ),
        "no picture": (replace(manifest, files=()), texts),
        "rounded": (replace(manifest, rounding={"sen2": 3.1e-5}), texts),
        "version 3 alone": (replace(manifest, cells=alone, layout="random", companions=()), texts),
        "train alone": (replace(manifest, companions=(), **plain), texts),
    }


# what stands on every page


def all_pages(out):
    manifest = Manifest.read(out)
    texts = {"statistics.json": (out / "statistics.json").read_text()}
    pages = {name: card.page(*built) for name, built in cards_of_builds(manifest, texts).items()}
    return pages | {"published": split_card(card.published())[1]}


def test_no_marks_of_the_template_are_left(out):
    """Whatever a folder holds or lacks."""
    for name, page in all_pages(out).items():
        assert not re.search(r"\$\{|\$\$|<!--|-->|None\b", page), name
        assert "\n\n\n" not in page, name
        assert not re.search(r"^#+ .*\n+(?=## )", page, re.MULTILINE), f"{name}: a heading without a text"


def test_every_link_is_https_or_leads_to_a_place_of_the_page(out):
    """No plain http, no file that is not there."""
    for name, page in all_pages(out).items():
        headings = {heading.lower() for heading in re.findall(r"^## (\w+)$", page, re.MULTILINE)}
        for link in re.findall(r"\]\(([^)]+)\)", page):
            known = link.startswith("https://") or link.removeprefix("#") in headings
            assert known or (out / link).is_file(), f"{name}: {link}"


def test_the_code_of_every_page_compiles(out):
    for name, page in all_pages(out).items():
        code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        assert code, name
        compile("\n".join(code), name, "exec")


def test_all_numbers_of_the_class_table_add_up(out):
    """Across splits and down the classes; the published ones are those of the files."""
    pages = all_pages(out)
    for name, page in pages.items():
        head, *classes, total = rows_of(page, "Classes")
        counts = np.array([[number(cell) for cell in row[4:]] for row in classes])
        assert counts.shape == (17, len(head) - 4), name
        assert (counts[:, :-1].sum(axis=1) == counts[:, -1]).all(), name
        assert counts.sum(axis=0).tolist() == [number(cell) for cell in total[4:]], name
    head, *_, total = rows_of(pages["published"], "Classes")
    files = {file.split: file.rows for file in facts.version("2").files}
    assert {split: number(cell) for split, cell in zip(head[4:-1], total[4:-1], strict=True)} == files


def test_classes_stand_in_label_order_with_code_and_colour(out):
    _, *classes, _ = rows_of(all_pages(out)["whole"], "Classes")

    assert [row[:4] for row in classes] == [
        [str(lcz.index), lcz.code, lcz.name, f"`{lcz.color}`"] for lcz in facts.classes()
    ]


def test_a_page_tells_of_nothing_that_is_not_there(out):
    pages = all_pages(out)

    assert "`geometry`" not in pages["no geolocation"]
    assert "`x_ul`" not in pages["no geolocation"]
    assert "Radar outliers" in pages["whole"]
    assert "`sen1[0]`" not in pages["optical"]
    assert "`sen2[0]`" not in pages["radar"]
    assert "## Bands" not in pages["no pixels"]
    assert ".parquet" not in pages["digital numbers"]
    assert "digital number" in pages["digital numbers"]
    assert '"mini"' not in pages["no companions"]
    assert "![" in pages["whole"]
    assert "![" not in pages["published"] + pages["no picture"]
    assert "at most 3.1e-05 in `sen2`" in pages["rounded"]
    assert "bit for bit" not in pages["rounded"]
    assert "geo files of March 2026" in pages["whole"]
    assert "Positions of 2025" in pages["2025"]
    assert "`random` (default)" in pages["version 3 alone"]
    assert "has none with pixels" in pages["no statistics"]


def test_the_card_on_the_hub_says_what_each_way_reads(out):
    """With the figures of the facts, and of nothing that is not there; a local folder is not fetched."""
    manifest = Manifest.read(out)
    known, repo = facts.access(), "zhu-xlab/So2Sat-LCZ42"
    measured = [known.patterns[name] for name, _, _ in tables.ACCESS]
    without = replace(manifest, companions=())

    _, *rows = rows_of(card.page(manifest, {}, repo), "What each way reads")
    _, *fewer = rows_of(card.page(without, {}, repo), "What each way reads")

    assert [row[1:4] for row in rows] == [
        [f"{found.rows:,}", f"{found.requests:,}", tables.size(found.bytes)] for found in measured
    ]
    lacking = [row for row in rows if re.match("`(index|rgb|mini)`", row[0])]
    assert len(lacking) == 3
    assert fewer == [row for row in rows if row not in lacking]
    assert "What each way reads" not in card.page(manifest, {})


# the published card


def test_the_published_card_is_current():
    """To write it: so2sat card --published."""
    assert PUBLISHED.read_text() == card.published()


def test_the_published_card_states_nothing_that_only_a_build_can_measure():
    head, page = split_card(card.published())
    columns, *rows = rows_of(page, "Configs")
    unknown = {row[0] for row in rows if tables.UNKNOWN in row}

    assert not re.search(r"num_bytes|download_size|dataset_size|data [0-9a-f]{16}", card.published())
    assert columns == ["config", "train", "validation", "test", "what it is"]
    assert unknown == {"`block`"}
    assert [row[0].split("`")[1] for row in rows] == [config["config_name"] for config in head["configs"]]
    assert [info["config_name"] for info in head["dataset_info"]]
    assert all(info["features"] for info in head["dataset_info"])


def test_the_published_card_has_the_configs_and_files_of_a_build(out):
    """Same names, features and, but for counts of files, the same places."""
    published, built = (split_card(text)[0] for text in (card.published(), card.readme_of(out)))

    def places(head):
        return {
            config["config_name"]: {
                file["split"]: sorted(
                    re.sub(r"\d+-of-\d+", "*", path)
                    for path in ([file["path"]] if isinstance(file["path"], str) else file["path"])
                )
                for file in config["data_files"]
            }
            for config in head["configs"]
            if config["config_name"] not in ("random", "block")  # 120 patches leave cells empty
        }

    assert places(published) == places(built)
    assert [
        {**info, "splits": 0, "download_size": 0, "dataset_size": 0} for info in built["dataset_info"]
    ] == [{**info, "splits": 0, "download_size": 0, "dataset_size": 0} for info in published["dataset_info"]]


def test_mini_of_the_published_card_follows_its_rule():
    mini = as_published().config("mini")

    assert dict(mini.rows) == {"train": 17 * 40, "validation": 17 * 10, "test": 17 * 10}


# the command


def test_card_finds_drift_and_repairs_it(copy, run):
    """A page that somebody edited: exit 1 with the lines, written anew, then silence."""
    assert run(copy, "--check").exit_code == 0
    readme = copy / "README.md"
    readme.write_text(
        readme.read_text().replace("ten cities that are", "some cities that are", 1) + "\nMore.\n"
    )

    found = run(copy, "--check")

    assert found.exit_code == 1
    assert "-More." in found.stdout
    assert "To write it: so2sat card" in found.stderr
    assert "More." in readme.read_text()
    assert run(copy).stdout.endswith("README.md: written\n")
    assert run(copy, "--check").exit_code == 0
    assert "More." not in readme.read_text()


def test_card_finds_drift_of_facts_and_prose(copy, run, monkeypatch):
    monkeypatch.setattr(facts, "citation", lambda: "@article{Other, doi = {10.1/2}}\n")

    for found in (run(copy, "--check"), run("--published", PUBLISHED, "--check")):
        assert found.exit_code == 1
        assert "Zhu2020So2Sat" in found.stdout
    monkeypatch.undo()
    monkeypatch.setattr(card, "TEMPLATE", "../__init__.py")
    assert run("--published", PUBLISHED, "--check").exit_code == 1


def test_card_finds_a_manifest_that_the_page_does_not_belong_to(copy, run):
    manifest = json.loads((copy / "manifest.json").read_text())
    first = next(iter(manifest["cells"].values()))
    first["class_counts"][0] += 1
    (copy / "manifest.json").write_text(json.dumps(manifest))

    assert run(copy, "--check").exit_code == 1


def test_card_prints_and_writes_the_published_one(run, tmp_path):
    printed = run("--published", "--print")

    assert printed.stdout == card.published()
    assert not (tmp_path / "cards").exists()
    assert run("--published").exit_code == 0
    assert (tmp_path / "cards" / "dataset_card.md").read_text() == card.published()


def test_card_says_what_is_missing(copy, run, tmp_path):
    """One message and exit code 1."""
    (copy / "statistics.json").unlink()
    for arguments, message in (
        ((copy,), "statistics.json: missing or unreadable, but listed in the manifest"),
        ((tmp_path / "nowhere",), "no manifest.json"),
        ((), "PATH: missing; expected a folder"),
        ((copy, "--check", "--print"), "--check: together with --print"),
    ):
        found = run(*arguments)
        assert found.exit_code == 1
        assert message in found.stderr
    with pytest.raises(FolderError):
        card.readme_of(copy)


def test_differences_are_few_lines_of_both(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("".join(f"{line}\n" for line in range(1000)))

    assert card.differences(path, path.read_text()) == []
    assert card.differences(path, path.read_text().replace("500", "five hundred"))[-2:] == [
        "-500",
        "+five hundred",
    ]
    assert len(card.differences(path, "")) == 20
    assert card.differences(path, path.read_text().rstrip("\n")) != []
    assert card.differences(tmp_path / "none.md", "text\n")[-1] == "+text"
