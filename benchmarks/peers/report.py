"""What every contender tells ``build.py``: one line of JSON. Standard library only, for any environment."""

import importlib.metadata
import json
import platform
import time


def report(job, libraries):
    """Run a job, time all of it, and print what it returns with the seconds and versions.

    Args:
        job: called without arguments; returns a dict with at least ``rows``. Imports before this call are
            not timed, what the job itself imports or starts is; ``seconds`` in the dict overrules.
        libraries: distributions whose versions matter.
    """
    start = time.perf_counter()
    result = job()
    seconds = time.perf_counter() - start
    versions = {name: importlib.metadata.version(name) for name in libraries}
    versions = {"python": platform.python_version(), **versions}
    print(json.dumps({"seconds": seconds, **result, "versions": versions}), flush=True)
