"""Is there room for a build, as far as that can be known before it starts?"""

import shutil
from collections.abc import Iterable

from so2sat_hf.convert.blueprint import Blueprint
from so2sat_hf.convert.built import BuiltSource
from so2sat_hf.convert.configs import column_bytes
from so2sat_hf.convert.shard import FileTask
from so2sat_hf.convert.workspace import Workspace, writable
from so2sat_hf.errors import FolderError

SENSORS = {"sen1": "float32", "sen2": "float32"}


def check_space(blueprint: Blueprint, workspace: Workspace, tasks: Iterable[FileTask], jobs: int) -> None:
    """Compare what the data files still need with what is free.

    Companions and small files are not counted: nobody knows their sizes before. An older dataset in the same
    folder keeps its space until the new one is complete.

    Args:
        blueprint: of the build.
        workspace: where it works.
        tasks: those that are still to be done.
        jobs: processes at work.

    Raises:
        FolderError: too little.
    """
    paths = {shard.path for shard in blueprint.shards}
    missing = [task.num_rows for task in tasks if task.path in paths]
    needs = int(sum(missing) * row_bytes(blueprint)), _copies(blueprint, workspace, min(jobs, len(missing)))
    with writable(workspace.out):
        free = shutil.disk_usage(workspace.out).free
    if missing and free < sum(needs):
        copies = f" and {needs[1] / 1e9:,.2f} GB for copies of the source" if needs[1] else ""
        raise FolderError(
            workspace.out,
            found=f"{free / 1e9:,.2f} GB free",
            expected=f"{needs[0] / 1e9:,.2f} GB for data files{copies}",
            remedy="free some space, name another folder, or build fewer --columns or a --split;"
            " the same command continues",
        )


def row_bytes(blueprint: Blueprint) -> float:
    """Return the bytes of a patch in the data files: known where nothing is compressed, or all was before.

    Returns:
        At least; 0 where nobody knows.
    """
    source = blueprint.source
    if blueprint.file_format == "arrow":
        dtypes = SENSORS | {"sen2": blueprint.sen2_dtype}
        return sum(column_bytes(name, dtypes[name]) for name in blueprint.columns if name in dtypes)
    if isinstance(source, BuiltSource) and source.columns == blueprint.columns:
        manifest = source.manifest
        is_same = manifest.file_format == blueprint.file_format
        return manifest.num_bytes / max(1, manifest.num_rows) if is_same else 0
    return 0


def _copies(blueprint: Blueprint, workspace: Workspace, jobs: int) -> int:
    """Bytes for copies of files of the source, without those that are there."""
    if not isinstance(blueprint.source, BuiltSource):
        return 0
    needed = blueprint.source.shelf.bytes_of_copies(blueprint.source.manifest.shards, jobs)
    there = sum(path.stat().st_size for path in workspace.copies.glob("*") if path.is_file())
    return max(0, needed - there)
