"""``README.md`` of a built folder: the YAML that ``load_dataset`` reads, and a page for people."""

from typing import Any

import yaml

from so2sat_hf import facts
from so2sat_hf.convert.manifest import Manifest
from so2sat_hf.convert.plan import SUFFIX
from so2sat_hf.convert.table import features

DEFAULT_CONFIG = "culture_10"


def views(columns: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Config -> columns: everything, and everything but the other sensor's, where both are there."""
    configs = {DEFAULT_CONFIG: columns}
    if {"sen1", "sen2"} <= set(columns):
        for sensor, other in (("sen1", "sen2"), ("sen2", "sen1")):
            configs[sensor] = tuple(name for name in columns if name != other)
    return configs


def render(manifest: Manifest) -> str:
    """Return the README of a built folder.

    Every config has a description with the digest of the manifest: ``datasets`` keys its cache on the YAML
    and would otherwise show old rows after a rebuild in place.
    """
    configs = views(manifest.columns)
    if manifest.file_format == "arrow":
        configs = {DEFAULT_CONFIG: configs[DEFAULT_CONFIG]}  # `columns:` is a Parquet reader's option
    head = {
        "license": "cc-by-4.0",
        "pretty_name": "So2Sat LCZ42",
        "task_categories": ["image-classification"],
        "tags": ["remote-sensing", "earth-observation", "sentinel-1", "sentinel-2", "local-climate-zones"],
        "size_categories": [_size_category(manifest.num_rows)],
        "configs": [_config(name, columns, manifest) for name, columns in configs.items()],
        **_dataset_info(configs, manifest),
    }
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=110)
    return f"---\n{text}---\n\n{_page(manifest)}"


def _config(name: str, columns: tuple[str, ...], manifest: Manifest) -> dict[str, Any]:
    config: dict[str, Any] = {
        "config_name": name,
        "description": f"So2Sat LCZ42 culture-10 split, data {manifest.digest}",
        "data_files": [
            {"split": split, "path": f"data/{split}/*{SUFFIX[manifest.file_format]}"}
            for split in manifest.splits
        ],
    }
    if name == DEFAULT_CONFIG:
        config["default"] = True
    else:
        config["columns"] = list(columns)
    return config


def _dataset_info(configs: dict[str, tuple[str, ...]], manifest: Manifest) -> dict[str, Any]:
    from datasets.info import DatasetInfo, DatasetInfosDict  # noqa: PLC0415
    from datasets.splits import SplitDict, SplitInfo  # noqa: PLC0415

    infos = {}
    for name, columns in configs.items():
        splits = SplitDict()
        for split, record in manifest.splits.items():
            splits.add(SplitInfo(split, num_bytes=record.memory, num_examples=record.rows))
        infos[name] = DatasetInfo(
            features=features(columns, sen2_dtype=manifest.sen2_dtype),
            splits=splits,
            download_size=manifest.num_bytes,
            dataset_size=sum(record.memory for record in manifest.splits.values()),
            config_name=name,
        )
    head: dict[str, Any] = {}
    DatasetInfosDict(infos).to_dataset_card_data(head)
    return head


def _size_category(num_rows: int) -> str:
    bounds = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((name for bound, name in bounds if num_rows < bound), "1M<n<10M")


def _page(manifest: Manifest) -> str:
    rows = "\n".join(f"| {name} | {split.rows:,} |" for name, split in manifest.splits.items())
    sen2 = "digital numbers (reflectance x 10000)" if manifest.sen2_dtype == "uint16" else "reflectance"
    columns = "\n".join(f"| `{name}` | {_meaning(name, sen2)} |" for name in manifest.columns)
    exact = (
        "Every value was checked against the published float64 and can be had back exactly."
        if not manifest.rounding
        else "Some values were rounded, by at most "
        + ", ".join(f"{error:.3g} in {column}" for column, error in manifest.rounding.items())
        + "."
    )
    first = next(iter(manifest.splits))
    return f"""# So2Sat LCZ42

Sentinel-1 and Sentinel-2 patches of 32 x 32 pixels (10 m), labelled with 17 local climate zones.
Built by so2sat_hf {manifest.package_version}; `manifest.json` lists every file with its hash.
{exact}

```python
from datasets import load_dataset
{first} = load_dataset("PATH_OR_REPO", split="{first}", streaming=True).with_format("numpy")
```

| split | patches |
|---|---|
{rows}

| column | meaning |
|---|---|
{columns}

The numpy and torch formats of `datasets` round the coordinates to float32 (up to 0.85 m);
the python and arrow formats keep them exact.

```bibtex
{facts.citation().strip()}
```
"""


def _meaning(column: str, sen2: str) -> str:
    bands = {sensor: " ".join(band.name for band in facts.bands(sensor)) for sensor in ("sen1", "sen2")}
    return {
        "id": "HDF5 file and row, `training/000123`",
        "sen1": f"(8, 32, 32) float32, linear: {bands['sen1']}",
        "sen2": f"(10, 32, 32), {sen2}: {bands['sen2']}",
        "label": "0 = LCZ 1 ... 9 = LCZ 10, 10 = LCZ A ... 16 = LCZ G",
        "city": "key of the publisher",
        "epsg": "UTM zone",
        "x_ul": "UTM metres of the upper-left corner of the patch, eastwards",
        "y_ul": "UTM metres of the upper-left corner of the patch, northwards",
        "longitude": "WGS 84 degrees of the centre",
        "latitude": "WGS 84 degrees of the centre",
    }[column]
