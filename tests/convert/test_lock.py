"""One run at a time in a folder, also where a run removes it at its end."""

import shutil
import threading
from pathlib import Path

import pytest

from so2sat_hf.convert import lock
from so2sat_hf.convert.lock import held
from so2sat_hf.errors import FolderError


def test_a_second_run_is_refused_and_a_third_goes_on(tmp_path: Path) -> None:
    with held(tmp_path / "work"), pytest.raises(FolderError, match="another run is writing here"):  # noqa: SIM117
        with held(tmp_path / "work", patience=0.2):
            pass
    with held(tmp_path / "work", patience=0):
        assert (tmp_path / "work").is_dir()


def test_who_waits_for_a_folder_that_is_removed_holds_the_new_one(tmp_path: Path) -> None:
    """Not the removed one, which nobody else can find."""
    folder, waits, may_end = tmp_path / "work", threading.Event(), threading.Event()

    def first() -> None:
        with held(folder):
            waits.set()
            may_end.wait(10)
            shutil.rmtree(folder)

    thread = threading.Thread(target=first)
    thread.start()
    waits.wait(10)
    threading.Timer(0.3, may_end.set).start()
    with held(folder):
        thread.join()
        assert folder.is_dir()
        with pytest.raises(FolderError), held(folder, patience=0):
            pass


def test_a_folder_that_vanishes_between_two_calls_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, opened, real = tmp_path / "work", [], lock.os.open

    def vanishing(path: Path, flags: int) -> int:
        opened.append(path)
        if len(opened) == 1:
            path.rmdir()
        return real(path, flags)

    monkeypatch.setattr(lock.os, "open", vanishing)
    with held(folder):
        assert folder.is_dir()


def test_a_folder_that_cannot_be_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="cannot be used"), held(tmp_path / "file" / "work"):
        pass
