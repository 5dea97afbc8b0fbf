"""``so2sat push`` as typed: what it prints, when it refuses, and that no token is ever seen."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from local_hub import Fault, LocalHub
from publishing import FOREIGN, REPO

from so2sat_hf.cli import cli
from so2sat_hf.convert.build import build
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.options import BuildOptions
from so2sat_hf.convert.raw import RawSource

SO2SAT = Path(sys.executable).with_name("so2sat")


@pytest.fixture(scope="module")
def out(source: RawSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("push") / "out"
    build(source, folder, BuildOptions(columns=("sen2",), rows_per_shard=100), jobs=1)
    return folder


def so2sat(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


def one_line(result: Result) -> str:
    """The only line that a refusal consists of."""
    assert result.exit_code == 1, result.output
    (line,) = [
        line
        for line in result.stderr.splitlines()
        if not line.startswith("pull request") and not line.endswith("made, public")
    ]
    assert line.startswith("Error: ")
    return line


def test_what_is_printed(hub: LocalHub, login: Callable[[str], None], out: Path) -> None:
    """A dry run names every file; the push says where things are; the dry run after it says `kept`."""
    login(hub.add_user("maria", orgs={"zhu-xlab": "write"}))
    hub.create_repo(REPO, files=FOREIGN)
    head = hub.repo(REPO).head("main")

    dry = so2sat("push", out, REPO, "--dry-run")
    assert dry.exit_code == 0
    assert f"main at {head[:7]}" in dry.output
    for path in (*Manifest.read(out).paths, "manifest.json"):
        assert re.search(rf"^new +[\d.]+ [kM]?\w+  {re.escape(path)}$", dry.stdout, re.MULTILINE)
    assert re.search(r"^replaced .* README\.md$", dry.stdout, re.MULTILINE)
    assert re.search(r"^kept .* v4/testing\.h5\.gz  \(not of this dataset\)$", dry.stdout, re.MULTILINE)
    assert "-# old page" in dry.stdout
    assert "+# So2Sat LCZ42" in dry.stdout
    assert "files: 7 new, 1 replaced, 3 kept; at most " in dry.stdout
    assert "Nothing was changed." in dry.stderr
    assert hub.repo(REPO).head("main") == head
    assert not hub.repo(REPO).pulls

    done = so2sat("push", out, REPO)
    commit = hub.repo(REPO).head("main")
    assert done.exit_code == 0
    digest = Manifest.read(out).digest
    assert f"main is at {commit[:7]}; tags format-1.0, data-{digest}" in done.stdout
    assert f"what main held before is tag before-{digest}" in done.stdout
    assert f'load_dataset("{REPO}")' in done.stdout
    assert "discussions/1" in done.stderr

    again = so2sat("push", out, REPO, "--dry-run")
    assert "README.md: the same" in again.stdout
    assert "files: 11 kept" in again.stdout


def test_refusals_are_one_line(hub: LocalHub, login: Callable[[str], None], out: Path) -> None:
    """A wrong token, a missing one, a missing right, a full quota, names that cannot be."""
    hub.create_repo(REPO, files=FOREIGN)
    hub.create_repo("zhu-xlab/secret", private=True)
    assert "the Hub asks for a token" in one_line(so2sat("push", out, REPO))
    login("hf_wrong")
    assert "does not accept the token (Invalid credentials" in one_line(so2sat("push", out, REPO))

    login(hub.add_user("tom"))
    assert "may not do that" in one_line(so2sat("push", out, "zhu-xlab/new"))
    assert "may not do that" in one_line(so2sat("push", out, "zhu-xlab/secret"))
    login(hub.add_user("reader", orgs={"zhu-xlab": "write"}, access="read"))
    assert "may not do that" in one_line(so2sat("push", out, REPO))

    login(hub.add_user("full", quota=1000))
    full = one_line(so2sat("push", out, "full/lcz"))
    assert "no room for it" in full
    assert "storage limit reached" in full

    for name in ("no-owner", "a/b/c", "full/a..b", "full/name.git", "full/-x", "full/x y"):
        assert one_line(so2sat("push", out, name)).startswith(f"Error: {name}: ")
    assert "manifest.json" not in hub.repo(REPO).tree("main")


def test_a_server_that_never_answers_ends_in_an_error(
    hub: LocalHub, login: Callable[[str], None], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """huggingface_hub alone would wait for ever."""
    monkeypatch.setattr("so2sat_hf.hub.patience.time.sleep", lambda _: None)
    login(hub.add_user("maria", orgs={"zhu-xlab": "write"}))
    hub.create_repo(REPO)
    hub.inject(when=lambda _: True, fault=Fault(silent=True), times=100)

    begun = time.monotonic()
    result = so2sat("push", out, REPO, "--timeout", "0.2")

    assert result.exit_code == 1
    assert "the Hub is silent (7 tries in a row); run the same command again later" in result.stderr
    assert time.monotonic() - begun < 20


def test_offline_is_said(out: Path) -> None:
    assert "HF_HUB_OFFLINE is set; unset it" in so2sat("push", out, REPO).stderr


def test_options_without_effect_are_refused(out: Path) -> None:
    result = so2sat("push", out, REPO, "--dry-run", "--no-merge")
    assert result.exit_code == 1
    assert "together with --no-merge" in result.stderr


def test_what_was_not_built_is_refused(tmp_path: Path) -> None:
    result = so2sat("push", tmp_path, REPO)
    assert result.exit_code == 1
    assert "no manifest.json" in result.stderr


def test_no_token_anywhere(hub: LocalHub, hub_environment: dict[str, str], out: Path, tmp_path: Path) -> None:
    """Not in what is printed, logged in full, written here or published there; on success and on failure."""
    hub.create_repo(REPO, files=FOREIGN)
    good = hub.add_user("maria", orgs={"zhu-xlab": "write"})
    log = {"HF_DEBUG": "0", "HF_HUB_VERBOSITY": "debug", "DATASETS_VERBOSITY": "debug"}
    for token, code in (("hf_wrongSECRETtoken", 1), ("hf_bad\ntoken-with-a-break", 1), (good, 0)):
        run = subprocess.run(
            [SO2SAT, "push", out, REPO],
            env={**hub_environment, **log, "HF_TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == code, run.stderr[-2000:]
        for secret in (token, token.partition("\n")[2] or token):
            assert secret not in run.stdout + run.stderr
    home = Path(hub_environment["HF_HOME"])
    written = [path for folder in (out, home) for path in folder.rglob("*") if path.is_file()]
    repo = hub.repo(REPO)
    published = [repo.read("main", path) for path in repo.tree("main")]
    said = [pull.title + "".join(comment.text for comment in pull.comments) for pull in repo.pulls.values()]
    assert len(published) == 11
    assert not any(good.encode() in body for body in (*published, *(path.read_bytes() for path in written)))
    assert not any(good in text for text in said)


@pytest.mark.parametrize(
    "kind", ["lfs-put", *(pytest.param(kind, marks=pytest.mark.full) for kind in ("commit", "tag"))]
)
def test_killed_anywhere_the_same_command_continues(
    hub: LocalHub, hub_environment: dict[str, str], out: Path, kind: str
) -> None:
    """SIGKILL while a request of that kind waits for its answer; then the same line again."""
    token = hub.add_user("maria", orgs={"zhu-xlab": "write"})
    hub.create_repo(REPO, files=FOREIGN)
    args = [SO2SAT, "push", out, REPO]
    environment = {**hub_environment, "HF_TOKEN": token}
    hub.inject(when=lambda request: request.kind == kind, fault=Fault(silent="after"))

    with subprocess.Popen(args, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        until = time.monotonic() + 60
        while not any(request.fault for request in list(hub.log)) and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    sent = sum(request.received for request in hub.requests("lfs-put"))
    again = subprocess.run(args, env=environment, capture_output=True, text=True, check=False)

    assert process.returncode == -signal.SIGKILL
    assert again.returncode == 0, again.stderr
    assert set(hub.repo(REPO).tree("main")) >= {*Manifest.read(out).paths, *FOREIGN}
    assert [pull.status for pull in hub.repo(REPO).pulls.values()] == ["closed"]
    tables = Manifest.read(out).tables.values()
    total = sum(request.received for request in hub.requests("lfs-put"))
    assert sum(tables) >= sent
    assert 0 <= total - sum(tables) < max(tables)  # no more twice than a file that was on its way
