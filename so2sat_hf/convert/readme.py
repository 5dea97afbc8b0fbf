"""``README.md`` of a built folder: the YAML that ``load_dataset`` reads, and a page for people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from so2sat_hf import facts
from so2sat_hf.convert.configs import Config, configs
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.wording import column_meanings, exactness

TAGS = (
    "remote-sensing",
    "earth-observation",
    "satellite-imagery",
    "sentinel-1",
    "sentinel-2",
    "sar",
    "multispectral",
    "local-climate-zones",
    "urban-climate",
)


def head(manifest: Manifest) -> dict[str, Any]:
    """Return the YAML of the README of a built folder."""
    return metadata(configs(manifest), num_rows=manifest.num_rows, digest=manifest.digest)


def metadata(found: Sequence[Config], *, num_rows: int, digest: str | None = None) -> dict[str, Any]:
    """Return the YAML of a dataset with these configs.

    Every config has a description with the digest of the manifest: ``datasets`` keys its cache on the YAML
    and would otherwise show old rows after a rebuild in place. The paper is no tag: the Hub takes its number
    from the link on the page.

    Args:
        found: the configs, in order.
        num_rows: patches of the dataset, each counted once.
        digest: of the manifest; None if there is none, and then no sizes are stated.
    """
    return {
        "license": "cc-by-4.0",
        "pretty_name": "So2Sat LCZ42",
        "language": ["en"],
        "annotations_creators": ["expert-generated"],
        "source_datasets": ["original"],
        "task_categories": ["image-classification"],
        "task_ids": ["multi-class-image-classification"],
        "tags": list(TAGS),
        "size_categories": [_size_category(num_rows)],
        "configs": [_yaml(config, digest) for config in found],
        **_dataset_info(found, with_sizes=digest is not None),
    }


def render(
    manifest: Manifest,
    page: Callable[[Manifest, Mapping[str, str]], str],
    texts: Mapping[str, str] | None = None,
) -> str:
    """Return the README of a built folder.

    Args:
        manifest: of the folder.
        page: writes what follows the YAML.
        texts: path -> content of the small files that the manifest lists, for the page.
    """
    return join(head(manifest), page(manifest, texts or {}))


def join(head: Mapping[str, Any], page: str) -> str:
    """Return a README of YAML and page."""
    text = yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True, width=110)
    return f"---\n{text}---\n\n{page}"


def _yaml(config: Config, digest: str | None) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "config_name": config.name,
        "description": f"{config.what}; data {digest}" if digest else config.what,
        "data_files": [
            {"split": split, "path": paths[0] if len(paths) == 1 else list(paths)}
            for split, paths in config.files.items()
        ],
    }
    if config.is_default:
        plain["default"] = True
    if config.columns:
        plain["columns"] = list(config.columns)
    return plain


def _dataset_info(found: Sequence[Config], *, with_sizes: bool) -> dict[str, Any]:
    from datasets.info import DatasetInfo, DatasetInfosDict  # noqa: PLC0415
    from datasets.splits import SplitDict, SplitInfo  # noqa: PLC0415

    infos = {}
    for config in found:
        if not with_sizes:
            infos[config.name] = DatasetInfo(features=config.features, config_name=config.name)
            continue
        splits = SplitDict()
        for split, rows in config.rows.items():
            splits.add(SplitInfo(split, num_bytes=config.memory[split], num_examples=rows))
        infos[config.name] = DatasetInfo(
            features=config.features,
            splits=splits,
            download_size=config.num_bytes,
            dataset_size=sum(config.memory.values()),
            config_name=config.name,
        )
    plain: dict[str, Any] = {}
    DatasetInfosDict(infos).to_dataset_card_data(plain)
    return plain


def _size_category(num_rows: int) -> str:
    bounds = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((name for bound, name in bounds if num_rows < bound), "1M<n<10M")


def page(manifest: Manifest, texts: Mapping[str, str]) -> str:  # noqa: ARG001 (other pages want the texts)
    """Return a short page for people."""
    rows = "\n".join(f"| {name} | {split.rows:,} |" for name, split in manifest.splits.items())
    meanings = column_meanings(manifest.columns, sen2_dtype=manifest.sen2_dtype)
    columns = "\n".join(f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in meanings)
    first = next(iter(manifest.splits))
    return f"""# So2Sat LCZ42

Sentinel-1 and Sentinel-2 patches of 32 x 32 pixels (10 m), labelled with 17 local climate zones.
Built by so2sat_hf {manifest.package_version}; `manifest.json` lists every file with its hash.
{exactness(manifest.rounding)}

```python
from datasets import load_dataset
{first} = load_dataset("PATH_OR_REPO", split="{first}", streaming=True).with_format("numpy")
```

| split | patches |
|---|---|
{rows}

| column | type | unit, meaning |
|---|---|---|
{columns}

The numpy and torch formats of `datasets` round the coordinates to float32 (up to 0.85 m);
the python and arrow formats keep them exact.

```bibtex
{facts.citation().strip()}
```
"""
