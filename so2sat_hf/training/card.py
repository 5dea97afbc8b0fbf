"""The card of a fine-tuned model: prose from a template, numbers from its training and its test."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from so2sat_hf import facts
from so2sat_hf.hub.template import fill
from so2sat_hf.pages.choice import city_name

PICTURE = "confusion.png"
TEMPLATE = "model_card.md"
REPOSITORY = "zhu-xlab/So2Sat-LCZ42"
LICENCE = "cc-by-4.0"

METRICS = {
    "oa": ("accuracy", "Overall accuracy"),
    "aa": ("balanced_accuracy", "Average accuracy"),
    "kappa": ("cohen_kappa", "Kappa"),
    "macro_f1": ("f1", "Macro F1"),
    "weighted_f1": ("f1", "Weighted F1"),
    "oa_weighted": ("accuracy", "Overall accuracy, weighted by similarity"),
    "oa_built_vs_natural": ("accuracy", "Built or natural"),
    "ece": ("expected_calibration_error", "Expected calibration error"),
}
"""Our metric -> kind and name in ``model-index``."""

MARKUP = str.maketrans({"<": "&lt;", "|": "&#124;", "[": "&#91;", "`": "'"})
"""What begins a tag, a cell, a link or the end of code, and how a name is written with it."""

RENDERED = ("metrics", "classes", "slots", "arguments", "citation", "repo_note")
"""Values that are made here."""


def model_card(
    record: Mapping[str, Any], report: Mapping[str, Any] | None, repo_id: str | None = None
) -> str:
    """Return the README of a model, with its YAML.

    Args:
        record: content of ``so2sat.json``: how it came about.
        report: content of ``report.json``; None: it was not tested.
        repo_id: where it is going to be on the Hub; None: it is read from the folder with this README.

    Raises:
        KeyError: something is missing in them.
    """
    template = (files("so2sat_hf.hub") / "templates" / TEMPLATE).read_text(encoding="utf-8")
    text = fill(template, _values(record, report, repo_id), _flags(record, report))
    head = yaml.safe_dump(_metadata(record, report, repo_id), sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{head}---\n{text}"


def _metadata(
    record: Mapping[str, Any], report: Mapping[str, Any] | None, repo_id: str | None
) -> dict[str, Any]:
    """Return the YAML of the card, as the Hub reads it."""
    found: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "image-classification",
        "tags": ["remote-sensing", "sentinel-1", "sentinel-2", "local-climate-zones", "so2sat"],
    }
    if record["model"]["scratch"]:
        found["license"] = LICENCE
    elif "/" in record["model"]["base"] and not record["model"]["base"].startswith((".", "/")):
        found["base_model"] = record["model"]["base"]
    if _is_published(record):
        found["datasets"] = [REPOSITORY]
    if report is not None:
        name = repo_id or str(report["model"])
        found["model-index"] = [{"name": name.rpartition("/")[2], "results": [_result(record, report)]}]
    return found


def _result(record: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    metrics = [
        {"type": kind, "name": title, "value": round(float(report["metrics"][name]), 4)}
        for name, (kind, title) in METRICS.items()
        if report["metrics"].get(name) is not None
    ]
    split = str(report["split"]).rpartition("/")[2]
    known = {"type": REPOSITORY if _is_published(record) else "so2sat_lcz42", "name": _name_of_data(record)}
    return {
        "task": {"type": "image-classification", "name": "Local climate zones"},
        "dataset": {**known, "config": report["version"], "split": split},
        "metrics": metrics,
    }


def _is_published(record: Mapping[str, Any]) -> bool:
    return bool(record["data"]["rows"] == facts.published_rows())


def _name_of_data(record: Mapping[str, Any]) -> str:
    return (
        "So2Sat LCZ42"
        if _is_published(record)
        else f"{record['data']['rows']:,} patches of the layout of So2Sat LCZ42"
    )


def _flags(record: Mapping[str, Any], report: Mapping[str, Any] | None) -> dict[str, bool]:
    version = record["data"]["version"]
    return {
        "tested": report is not None,
        "intervals": bool(report and report["intervals"]),
        "cities": bool(report and report["cities"]),
        "scratch": record["model"]["scratch"],
        "published": _is_published(record),
        "culture_10": version in ("culture_10", "culture_10_v3", "v1"),
        "random": version == "random",
        "block": version == "block",
        "selected": record["best"] is not None,
    }


def _values(
    record: Mapping[str, Any], report: Mapping[str, Any] | None, repo_id: str | None
) -> dict[str, str]:
    data, preset, model = record["data"], record["preset"], record["model"]
    best = record["best"] or {"metric": "", "value": 0.0, "step": 0}
    sensors = dict.fromkeys(facts.band(slot["band"]).sensor for slot in preset["slots"] if slot.get("band"))
    values = {
        "name": repo_id.rpartition("/")[2] if repo_id else record["name"],
        "repo": repo_id or ".",
        "repo_note": "" if repo_id else "  # the folder with this README",
        "base": model["base"],
        "architecture": model["architecture"],
        "parameters": f"{model['parameters']:,}",
        "data": data["name"],
        "digest": data["digest"],
        "format": data["format"],
        "version": data["version"],
        "rows": f"{data['rows']:,}",
        "published_rows": f"{facts.published_rows():,}",
        "splits": ", ".join(f"{split} {count:,}" for split, count in data["splits"].items()),
        "preset": preset["name"],
        "preset_title": preset["title"],
        "size": str(preset["size"]),
        "statistics": preset["statistics"] or "its own numbers",
        "slots": _slots(preset),
        "row": " and ".join(f"{name} ({len(facts.bands(name))}, 32, 32)" for name in sensors),
        "arguments": _arguments(record),
        "time": _time(record),
        "best_metric": best["metric"],
        "best_value": f"{best['value']:.3f}",
        "best_step": f"{best['step']:,}",
        "libraries": ", ".join(f"{name} {number}" for name, number in record["libraries"].items()),
        "so2sat_hf": record["so2sat_hf"],
        "picture": PICTURE,
        "dataset": REPOSITORY,
        "citation": facts.citation().strip(),
        "paper_doi": "10.1109/MGRS.2020.2964708",
    }
    known = values | _results(report)
    return {name: value if name in RENDERED else plain(value) for name, value in known.items()}


def plain(text: object) -> str:
    """Return a name as text of a card, whatever is in it: one line, no HTML, no Markdown that loads a thing.

    >>> plain("a|b <script>")
    'a&#124;b &lt;script>'
    """
    return " ".join(str(text).translate(MARKUP).split())


def _time(record: Mapping[str, Any]) -> str:
    """Say how long and how fast it trained, as far as that is known."""
    parts = []
    if record["seconds"] is not None:
        parts.append(f"{record['seconds'] / 60:,.1f} minutes")
    if record["patches_per_second"] is not None:
        parts.append(f"{record['patches_per_second']:,.0f} patches/s")
    return " ".join(["Trained on", record["device"], *([f"({', '.join(parts)})"] if parts else [])])


def _results(report: Mapping[str, Any] | None) -> dict[str, str]:
    if report is None:
        return dict.fromkeys(("headline", "split", "tested_on", "metrics", "classes", "cities"), "")
    found = report["metrics"]
    worst = min(report["cities"], key=lambda city: city["oa"] or 0.0, default=None)
    return {
        "headline": f"{_share(found['oa'])} % overall accuracy, kappa {found['kappa'] or 0:.2f}",
        "split": str(report["split"]),
        "tested_on": f"{report['patches']:,}",
        "metrics": _metrics(report),
        "classes": _table(
            ("class", "patches", "found (producer's) %", "right (user's) %", "F1 %"),
            (
                (
                    plain(f"{row['code']} {row['name']}"),
                    f"{row['patches']:,}",
                    _share(row["producers_accuracy"]),
                    _share(row["users_accuracy"]),
                    _share(row["f1"]),
                )
                for row in report["classes"]
            ),
        ),
        "cities": ""
        if worst is None
        else f"{len(report['cities'])} cities; worst: {city_name(worst['city'])}, {_share(worst['oa'])} %",
    }


def _metrics(report: Mapping[str, Any]) -> str:
    rows = []
    for name, (_, title) in METRICS.items():
        low_high = report["intervals"].get(name)
        within = f"{_share(low_high[0])} to {_share(low_high[1])}" if low_high else ""
        rows.append((f"{title} (`{name}`)", _share(report["metrics"].get(name)), within))
    return _table(("metric", "%", "95 % over cities"), rows)


def _slots(preset: Mapping[str, Any]) -> str:
    rows = (
        (
            plain(slot.get("band") or "(empty)"),
            plain(slot["unit"]),
            f"{slot['mean']:.6g}",
            f"{slot['std']:.6g}",
        )
        for slot in preset["slots"]
    )
    return _table(("band", "unit", "mean", "deviation"), rows)


def _arguments(record: Mapping[str, Any]) -> str:
    return _table(
        ("", ""), ((f"`{plain(name)}`", plain(value)) for name, value in record["arguments"].items())
    )


def _table(head: tuple[str, ...], rows: Any) -> str:  # noqa: ANN401
    """Return a table of Markdown."""
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
