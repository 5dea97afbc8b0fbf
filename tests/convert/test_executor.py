"""Independent tasks, here, in processes, on a borrowed executor: each result once, failures at once."""

import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from so2sat_hf.convert.executor import run
from so2sat_hf.errors import LossyError, So2SatError


def who(number: int) -> tuple[int, int]:
    time.sleep(0.02)
    return number * number, os.getpid()


def fail_at_seven(number: int) -> int:
    if number == 7:
        raise LossyError("seven", found="it", expected="another number", remedy="skip it")
    return number


def die(number: int) -> int:
    if multiprocessing_child():
        os._exit(9)
    time.sleep(0.2)
    return number


def multiprocessing_child() -> bool:
    import multiprocessing

    return multiprocessing.parent_process() is not None


@pytest.mark.parametrize("jobs", [1, 2, 3, None])
def test_every_task_is_done_once(jobs: int | None) -> None:
    """Results come under their keys, whatever the number of processes."""
    results = list(run(who, {str(n): n for n in range(40)}, jobs=jobs))

    assert sorted(key for key, _ in results) == sorted(map(str, range(40)))
    assert all(value == int(key) ** 2 for key, (value, _) in results)


def test_this_process_and_its_workers_share_the_work() -> None:
    """Two processes at work are this one and one other."""
    pids = {pid for _, (_, pid) in run(who, {n: n for n in range(120)}, jobs=2)}

    assert os.getpid() in pids
    assert len(pids) == 2


def test_no_tasks_no_processes() -> None:
    """Nothing to do is done at once."""
    assert list(run(who, {}, jobs=4)) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failure_arrives_whole(jobs: int) -> None:
    """An error of a worker has its parts, and nothing goes on behind it."""
    with pytest.raises(LossyError) as caught:
        list(run(fail_at_seven, {n: n for n in range(20)}, jobs=jobs))

    assert (caught.value.thing, caught.value.remedy) == ("seven", "skip it")


def test_a_failure_on_a_borrowed_executor_leaves_it_running() -> None:
    """What is not ours is not shut down."""
    with ThreadPoolExecutor(2) as executor:
        with pytest.raises(LossyError):
            list(run(fail_at_seven, {n: n for n in range(20)}, executor=executor))
        assert executor.submit(int, 5).result() == 5


def test_a_killed_worker_is_an_error_with_a_remedy() -> None:
    """As when the system runs out of memory."""
    with pytest.raises(So2SatError, match=r"a worker process died.*\n.*fewer --jobs"):
        list(run(die, {n: n for n in range(6)}, jobs=2))


def swallow(number: int) -> int:
    """Interrupt, and lose it, as Python does in the middle of a destructor."""
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
    return number


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_is_not_lost(jobs: int) -> None:
    """Wherever it comes, the run ends after the task at hand."""
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        done.extend(key for key, _ in run(swallow, dict.fromkeys("abcdef", 1), jobs=jobs))
    assert len(done) < 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
