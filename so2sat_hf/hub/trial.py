"""Does what was uploaded load? A revision, opened as a user would, beside the folder it comes from."""

import gc
import tempfile
from pathlib import Path
from typing import Any

from so2sat_hf.convert.configs import Config, configs
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.reading import read_rows
from so2sat_hf.errors import HubError, So2SatError
from so2sat_hf.hub.patience import Passing, behind

NUM_ROWS = 2
"""First rows of a split that are compared."""


def try_loading(
    repo_id: str,
    revision: str,
    folder: Path,
    manifest: Manifest,
) -> None:
    """Open every config of a revision by ``load_dataset``, and compare the first rows of every split.

    Features and sizes are compared for each config. Rows are compared where the files are: in the default
    config and the companions; the other configs are lists of the same files.

    Args:
        repo_id: of a dataset on the Hub.
        revision: commit or pull request.
        folder: what it should be equal to.
        manifest: of that folder.

    Raises:
        HubError: something differs, or cannot be loaded.
        Passing: the Hub was silent or overloaded on the way.
    """
    try:
        _try_loading(repo_id, revision, folder, manifest)
    except So2SatError:
        raise
    except Exception as error:  # whatever datasets makes of it
        passing = behind(error, Passing)
        if passing is not None:
            raise passing from error
        raise HubError(
            f"{repo_id} at {revision[:7]}",
            found=f"cannot be loaded ({type(error).__name__}: {' '.join(str(error).split())})",
            expected="a dataset that load_dataset opens",
            remedy="main is unchanged",
        ) from error


def _try_loading(repo_id: str, revision: str, folder: Path, manifest: Manifest) -> None:
    own = {companion.name for companion in manifest.companions}
    with tempfile.TemporaryDirectory(prefix="so2sat-") as cache:
        for config in configs(manifest):
            _check_head(repo_id, revision, config, cache)
            if config.is_default or config.name in own:
                for split, files in config.files.items():
                    first = folder / _first(files, manifest)
                    _check_rows(repo_id, revision, config, split, first, cache)


def _first(patterns: tuple[str, ...], manifest: Manifest) -> str:
    """Return the file that the first pattern begins with."""
    return min(path for path in manifest.tables if Path(path).match(patterns[0]))


def _check_head(repo_id: str, revision: str, config: Config, cache: str) -> None:
    from datasets import load_dataset_builder  # noqa: PLC0415

    info = load_dataset_builder(repo_id, config.name, revision=revision, cache_dir=cache).info
    rows = {name: split.num_examples for name, split in (info.splits or {}).items()}
    if info.features != config.features or rows != dict(config.rows):
        raise HubError(
            f"{repo_id} at {revision}, config {config.name}",
            found=f"features {sorted(info.features or ())}, rows {rows}",
            expected=f"those of the folder: {sorted(config.features)}, {dict(config.rows)}",
            remedy="main is unchanged; `so2sat verify` checks the folder",
        )


def _check_rows(repo_id: str, revision: str, config: Config, split: str, file: Path, cache: str) -> None:
    from datasets import load_dataset  # noqa: PLC0415

    stream = load_dataset(
        repo_id, config.name, split=split, revision=revision, streaming=True, cache_dir=cache
    )
    batches: Any = iter(stream.with_format("arrow").iter(NUM_ROWS))
    try:
        found = next(batches).to_pylist()
    finally:
        del batches, stream
        gc.collect()  # threads of pyarrow would go on reading
    wanted = next(read_rows(file, range(len(found)))).to_pylist()
    if found != wanted:
        raise HubError(
            f"{repo_id} at {revision}, config {config.name}, split {split}",
            found=f"first rows {[row.get('id') for row in found]} with other values",
            expected=f"those of {file}",
            remedy="main is unchanged; run the same command again",
        )
