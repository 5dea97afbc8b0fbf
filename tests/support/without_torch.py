"""Where torch is not installed, tests that import it are skipped, and say so; elsewhere nothing changes."""

from importlib.util import find_spec
from typing import Any

import pytest
from trained import NEEDS_TRAIN

LIBRARIES = ("torch", "accelerate")
MISSING = tuple(name for name in LIBRARIES if find_spec(name) is None)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    """Skip a file that cannot be imported for want of them."""
    report = yield
    if report.failed and any(f"No module named '{name}" in str(report.longrepr) for name in MISSING):
        report.outcome, report.result = "skipped", []
        report.longrepr = (str(collector.path), 0, f"Skipped: {NEEDS_TRAIN}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Skip a test, or what needs a fixture, that fails for want of them."""
    report = yield
    error = call.excinfo and call.excinfo.value
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in MISSING:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"Skipped: {NEEDS_TRAIN}")
    return report
