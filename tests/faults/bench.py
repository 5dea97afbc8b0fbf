"""A command, the disk it works on, and how it goes when nobody breaks it off."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from injury import read_diary
from jobs import Job, State
from local_hub import LocalHub
from runs import Disk, Zygote


@dataclass
class Bench:
    """Everything that a point needs."""

    zygote: Zygote
    disk: Disk
    hub: LocalHub
    job: Job
    log: Path
    after: State = field(default_factory=dict)
    """What a run leaves that nobody broke off."""

    seconds: float = 0.0
    """How long it took."""

    calls: dict[str, int] = field(default_factory=dict)
    """Calls of the operating system in its folder."""

    used: int = 0
    """Bytes that it took."""

    @property
    def folder(self) -> Path:
        return self.disk.folder

    def injury(self, **harm: Any) -> dict[str, Any]:
        return {"root": str(self.folder), **harm}

    def prepare(self, *, older: bool) -> State:
        """Empty the folder, and set it up; return what users see."""
        self.log.unlink(missing_ok=True)
        self.disk.clear()
        self.job.setup(self.folder, older)
        return self.job.state(self.folder)

    def learn(self) -> None:
        """Let a run finish: what it leaves, how long it takes, how many calls there are."""
        for _ in range(2):  # the second one finds caches filled
            self.prepare(older=False)
            diary = self.log.with_suffix(".diary")
            started, used = time.monotonic(), self.disk.used()
            code = self.zygote.run(self.job.argv(self.folder), self.log, self.injury(diary=str(diary)))
            self.seconds, self.used = time.monotonic() - started, self.disk.used() - used
            assert code == 0, self.log.read_text()
        self.after = self.job.state(self.folder)
        known = read_diary(diary)
        self.calls = known["counts"]
        assert self.after
        assert not [path for path in known["undurable"] if "receipts" not in path], known["undurable"]
        if self.job.name in ("build", "map"):  # checkpoints are the Trainer's, which marks them as finished
            assert not known["direct"], known["direct"]
