"""Push as the tests do it: the repository as it is today, and a push that does not wait long."""

from pathlib import Path
from typing import Any

from so2sat_hf.hub.patience import Patience
from so2sat_hf.hub.push import PushReport, push
from so2sat_hf.hub.push_plan import plan_push
from so2sat_hf.hub.repository import Repository

REPO = "zhu-xlab/So2Sat-LCZ42"
FOREIGN = {
    "v4/testing.h5.gz": b"\x1f\x8bpublished",
    "v4/README.md": b"raw files",
    "README.md": b"# old page\n",
}
"""What the publisher has there, in small."""

QUICK = Patience(tries=4, first_wait=0.005, longest_wait=0.01, silence=0.4)


def run_push(folder: Path, repo_id: str = REPO, patience: Patience = QUICK, **options: Any) -> PushReport:
    """Plan and push, as the command does."""
    repository = Repository(repo_id, patience=patience)
    with repository.open():
        return push(plan_push(folder, repository), repository, **options)
