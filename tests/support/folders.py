"""What a folder holds."""

import hashlib
from pathlib import Path

from so2sat_hf.convert.workspace import WORK


def published(folder: Path) -> dict[str, str]:
    """Path -> hash of everything but the work folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and WORK not in path.parts
    }
