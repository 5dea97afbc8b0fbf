"""A report as one page: what a person should see of a model before they trust it."""

from collections.abc import Mapping, Sequence

import numpy as np

from so2sat_hf import facts
from so2sat_hf.convert.patches import PatchBlock
from so2sat_hf.errors import So2SatError
from so2sat_hf.pages import charts, html
from so2sat_hf.pages.choice import city_name
from so2sat_hf.pages.panels import PANELS
from so2sat_hf.training.predictions import Predictions
from so2sat_hf.training.report import DEFINITIONS, HEADLINES, Mistake, Report


def report_page(report: Report, predictions: Predictions, pictures: PatchBlock | None) -> str:
    """Return the page.

    Args:
        report: its numbers.
        predictions: those that the report is about, for the map.
        pictures: the patches of ``report.mistakes``, in that order; None: no pixels to draw.
    """
    parts = [_head(report), _confusion(report), _classes(report)]
    if report.cities:
        parts.append(_cities(report))
    parts.append(_calibration(report))
    if report.mistakes:
        parts.append(_mistakes(report, pictures))
    if report.cities and predictions.rows.longitude is not None:
        parts.append(_map(report, predictions))
    parts += [_metrics(report), _foot(report)]
    return html.page(_title(report), "\n".join(parts))


def _title(report: Report) -> str:
    return f"{report.about['model']} on {report.about['split']}"


def _head(report: Report) -> str:
    about = report.about
    shown = {
        "Model": f"{about['model']} ({about['architecture']}, {about['parameters']:,} weights)",
        "Preset": f"{about['preset']} ({about['channels']} channels, {about['size']} px)",
        "Data": f"{about['data']} ({about['digest']})",
        "Split": f"{about['split']}, {about['patches']:,} patches",
        "Made": f"{about['date']}, so2sat_hf {about['so2sat_hf']}",
    }
    items = "".join(f"<li>{html.text(name)} <b>{html.text(value)}</b></li>" for name, value in shown.items())
    tiles = []
    for name, called in HEADLINES.items():
        bounds = report.intervals.get(name)
        low_high = f"{html.share(bounds[0])} to {html.share(bounds[1])}" if bounds else ""
        tiles.append(
            f'<div class="tile"><div class="name">{html.text(called)}</div>'
            f'<div class="value">{html.share(report.metrics[name])}</div>'
            f'<div class="range">{low_high}</div></div>'
        )
    drawn = (
        f"Below each number: 95 % of what comes out if the {len(report.cities)} cities are drawn anew, with "
        "replacement. Patches of a city resemble each other, so cities are what counts."
        if report.intervals
        else "Without cities nothing tells how far these numbers hold elsewhere."
    )
    return (
        f'<h1>Local climate zones: {html.text(_title(report))}</h1>\n<ul class="facts">{items}</ul>\n'
        f'<div class="tiles">{"".join(tiles)}</div>\n<p class="muted">Per cent. {drawn}</p>'
    )


def _confusion(report: Report) -> str:
    return html.section(
        "Which class is taken for which",
        '<p class="muted">Rows are the reference, columns what the model says, numbers per cent of the row. '
        "Built types first, then natural land cover.</p>",
        charts.confusion(report.confusion.counts),
    )


def _bar(value: float) -> str:
    width = 0 if np.isnan(value) else 100 * value
    return f'{html.share(value)}<span class="bar"><i style="width:{width:.0f}%"></i></span>'


def _classes(report: Report) -> str:
    found = report.confusion
    columns = found.producers_accuracy, found.users_accuracy, found.f1
    rows = [
        [
            html.chip(lcz),
            f"{found.counts[lcz.index].sum():,}",
            *(_bar(values[lcz.index]) for values in columns),
        ]
        for lcz in facts.classes()
    ]
    head = ["class", "patches", "found (producer's)", "right (user's)", "F1"]
    return html.section("Class by class", html.table(head, rows, left=(0,)))


def _cities(report: Report) -> str:
    found = {city: each.metrics() for city, each in report.cities.items()}
    order = sorted(found, key=lambda city: found[city]["oa"])
    rows = [
        [
            html.text(city_name(city)),
            f"{report.cities[city].total:,}",
            _bar(found[city]["oa"]),
            *(html.share(found[city][name]) for name in ("aa", "kappa", "macro_f1")),
        ]
        for city in order
    ]
    head = ["city", "patches", "overall accuracy", "average accuracy", "kappa", "macro F1"]
    return html.section(
        "City by city",
        f'<p class="muted">The worst first: {html.text(city_name(order[0]))}.</p>',
        html.table(head, rows, left=(0,), marked=0),
    )


def _calibration(report: Report) -> str:
    found = report.calibration
    sure = report.metrics["ece"]
    return html.section(
        "Is it as often right as it is sure?",
        f'<p class="muted">On the dashed line it is; below it the model is too sure. The mean gap is '
        f"{html.share(sure)} per cent. Bars: how many patches.</p>",
        charts.reliability(found.confidence, found.accuracy, found.count),
    )


def _mistakes(report: Report, pictures: PatchBlock | None) -> str:
    cards = [_mistake(number, mistake, pictures) for number, mistake in enumerate(report.mistakes)]
    return html.section(
        "Worst mistakes",
        '<p class="muted">Wrong, and sure of it; each pair of classes at most twice. '
        "True colour and radar, 320 m wide, north up. Some of them may be wrong labels.</p>",
        f'<div class="cards">{"".join(cards)}</div>',
    )


def _mistake(number: int, mistake: Mistake, pictures: PatchBlock | None) -> str:
    label, said = (facts.classes()[index] for index in (mistake.label, mistake.prediction))
    shown = ""
    if pictures is not None:
        panels = [panel for panel in PANELS if getattr(pictures, panel.sensor) is not None]
        both = dict.fromkeys((panels[0], panels[-1])) if panels else {}
        shown = "".join(
            html.picture(panel.draw(pictures, number), f"{panel.title} of {mistake.id}") for panel in both
        )
    where = f", {city_name(mistake.city)}" if mistake.city else ""
    return (
        f'<figure class="card"><div class="pictures">{shown}</div>'
        f"<div>is {html.chip(label)}</div>"
        f"<div>called {html.chip(said)}, {100 * mistake.probability:.0f} %</div>"
        f'<div class="id">{html.text(mistake.id + where)}</div></figure>'
    )


def _map(report: Report, predictions: Predictions) -> str:
    rows = predictions.rows
    if rows.city is None or rows.longitude is None or rows.latitude is None:
        raise So2SatError("map", found="no positions", expected="longitude and latitude of every patch")
    cities, right = np.array(rows.city), predictions.prediction == rows.label
    figures = []
    for city in report.cities:
        inside = cities == city
        pixels, wide, high = charts.accuracy_map(rows.longitude[inside], rows.latitude[inside], right[inside])
        words = f"{city_name(city)}: {100 * right[inside].mean():.1f} % right, {wide:.0f} x {high:.0f} km"
        figures.append(
            f"<figure>{html.picture(pixels, words)}<figcaption>{html.text(words)}</figcaption></figure>"
        )
    swatches = "".join(
        f'<span class="swatch" style="background:rgb{color}"></span>{name}'
        for color, name in ((charts.RIGHT, "right"), (charts.WRONG, "wrong"))
    )
    return html.section(
        "Where it is right",
        f'<p class="muted">Every patch in its place, north up; their mean where they overlap.{swatches}</p>',
        f'<div class="maps">{"".join(figures)}</div>',
    )


def _metrics(report: Report) -> str:
    rows: Sequence[Sequence[str]] = [
        [html.text(name), html.share(report.metrics[name], 2), html.text(meaning)]
        for name, meaning in DEFINITIONS.items()
        if name in report.metrics
    ]
    return html.section("Every number", html.table(["name", "%", "definition"], rows, left=(0, 2)))


def _foot(report: Report) -> str:
    versions: Mapping[str, str] = report.about["versions"]
    used = ", ".join(f"{name} {number}" for name, number in versions.items())
    return (
        f"<footer>Made by so2sat_hf {html.text(report.about['so2sat_hf'])} with {html.text(used)}. "
        "Data: So2Sat LCZ42, Zhu et al. 2020, doi 10.1109/MGRS.2020.2964708, CC BY 4.0. "
        "Reference labels were drawn by people; the paper gives them a confidence of 85 %.</footer>"
    )
