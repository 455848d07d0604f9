"""A ladder as text, CSV, JSON, Markdown, one plot (SVG) and one HTML file.

The plot is written by hand, as the report's charts are: it follows dark mode, its text can be
read and searched, and the same file stands alone or in the page.
"""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from tfvision.engine.files import write_bytes, write_json, write_text
from tfvision.report import tables
from tfvision.report.epochs_chart import epochs_chart
from tfvision.report.overlay import png_uri
from tfvision.report.plots import number, tick_texts, ticks
from tfvision.report.shared import render_template
from tfvision.report.tables import decimals

ROW, TOP, LEFT, LEFT_END, RIGHT, RIGHT_END, WIDTH = 30, 46, 190, 520, 560, 900, 920
STYLE = """
.ladder { font: 13px system-ui, sans-serif; }
.ladder text { fill: #17202b; } .ladder .dim { fill: #586474; }
.ladder .rule { stroke: #dde2e9; } .ladder .zero { stroke: #586474; stroke-width: 1.5; }
.ladder .each { fill: none; stroke: #586474; } .ladder .mean { fill: #1f6fb2; }
.ladder .said { fill: none; stroke: #c8640a; stroke-width: 1.5; }
.ladder .better { fill: #0c7a56; stroke: #0c7a56; }
.ladder .worse { fill: #b3123f; stroke: #b3123f; }
.ladder .open { fill: #586474; stroke: #586474; } .ladder line.reach { stroke-width: 3; }
@media (prefers-color-scheme: dark) {
.ladder text { fill: #e7ecf2; } .ladder .dim { fill: #9ba8b7; } .ladder .rule { stroke: #2d3744; }
.ladder .mean { fill: #63b1f0; } .ladder .said { stroke: #f2a157; }
.ladder .better { fill: #4fd0a0; stroke: #4fd0a0; }
.ladder .worse { fill: #ff86a6; stroke: #ff86a6; }
.ladder .open { fill: #9ba8b7; stroke: #9ba8b7; } }
"""


def write_ladder(folder: Path, table: dict[str, Any]) -> None:
    """Writes `ladder.json`, `.csv`, `.md`, `.svg` and `.html`, each whole or not at all.

    Where trainings were validated, `epochs.csv` and `.svg` have their mean and deviation by epoch.
    The files of `pictures` are in the folder already.

    Args:
        folder: Where to.
        table: As `studies.study.table.make_table` gives it.
    """
    picture, epochs = plot(table), _epochs_of(table)
    if epochs:
        write_text(folder / "epochs.svg", epochs)
        write_text(folder / "epochs.csv", tables.csv_of(_epoch_rows(table)))
    write_json(folder / "ladder.json", table)
    write_text(folder / "ladder.csv", csv_of(table))
    write_text(folder / "ladder.md", markdown(table))
    write_text(folder / "ladder.svg", picture)
    files = {one["file"]: (folder / one["file"]).read_bytes() for one in table["pictures"]}
    page = render(table, picture, epochs=epochs, files=files)
    write_bytes(folder / "ladder.html", page.encode())


def cells(table: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, str]:
    """One rung of the table that people read: head of the column -> text."""
    first, *others = table["metrics"]
    score, compared = row["scores"].get(first), row["compared"].get(first, {})
    seconds = row["wall_seconds"]
    texts = {
        "rung": row["name"],
        first: decimals(score and score["mean"]),
        "seeds": " ".join(decimals(v, 3) for v in score["each"]) if score else "failed",
        "against": row["against"] or "",
        "difference": decimals(compared["difference"], sign="+") if compared else "",
        "95 % interval": _interval(compared) if compared else "",
        "p, Holm": _p(compared["p_adjusted"]) if compared else "",
        "verdict": compared.get("verdict", "" if row["against"] else "the lowest"),
    }
    if row["nothing_learnt"]:
        texts["verdict"] = "failed run"
    if table["scored"] == "labels":
        texts["validation"] = decimals(row["validation"] and row["validation"]["mean"])
    texts[f"{first}, 95 %"] = _between(score)
    for metric in others:
        score, other = row["scores"].get(metric), row["compared"].get(metric)
        texts[metric] = decimals(score and score["mean"])
        texts[f"{metric}, 95 %"] = _between(score)
        texts[f"difference, {metric}"] = _told(other) if other else ""
    if _counted(table):
        texts["images"] = _count(row["num_images"])
        texts["images compared"] = _count(compared.get("num_images"))
    if any(other["search"] for other in table["rungs"]):
        texts["chosen"] = row["search"]["winner"] if row["search"] else ""
    speed = row["predicted_per_second"]
    return {
        **texts,
        "reported": decimals(row["reported"]),
        "reported difference": decimals(row["reported_difference"], sign="+"),
        "steps": str(row["steps"]),
        "epochs": str(row["epochs"]),
        "parameters": _count(row["parameters"]),
        "minutes a run": decimals(sum(seconds) / len(seconds) / 60, 1) if seconds else "–",
        "images/s predicted": decimals(speed, 1),
    }


def _counted(table: Mapping[str, Any]) -> bool:
    """Whether the table says how many images each rung was scored on."""
    counts = {row["num_images"] for row in table["rungs"]} - {None}
    return table["scored"] == "folds" or len(counts) > 1


def headline(table: Mapping[str, Any]) -> str:
    """What was scored, one line."""
    seeds = ", ".join(map(str, table["seeds"]))
    many = "s" if len(table["seeds"]) > 1 else ""
    alone = table["units"] == "images" or table["num_units"] == table["num_images"]
    units = "" if alone else f" ({table['num_units']} {table['units']})"
    length = " and ".join(f"{count} {what}" for what, count in table["length"].items())
    return f"{table['num_images']} {table['what']}{units}, seed{many} {seeds}, equal {length}"


def text_of(table: Mapping[str, Any]) -> str:
    """The table for the terminal, without the columns that make it too wide."""
    heads = ["rung", table["metrics"][0], "against", "difference", "95 % interval", "p, Holm"]
    heads += ["verdict", *(["validation"] if table["scored"] == "labels" else [])]
    rows = [cells(table, row) for row in table["rungs"]]
    lines = tables.text_lines([heads, *([row[head] for head in heads] for row in rows)])
    cautions = [f"! {line}" for line in table["cautions"]]
    return "\n".join([f"{table['name']}: {headline(table)}", "", *lines, "", *cautions])


def markdown(table: Mapping[str, Any]) -> str:
    """The table in Markdown."""
    rows = [cells(table, row) for row in table["rungs"]]
    lines = [
        "| " + " | ".join(map(_flat, line)) + " |"
        for line in (rows[0], *(row.values() for row in rows))
    ]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    about = [f"- **{r['name']}**: {_flat(r['about'])}" for r in table["rungs"] if r["about"]]
    pictures = ["![scores and differences](ladder.svg)", ""]
    if _validated(table):
        pictures += ["![mean and deviation by epoch](epochs.svg)", ""]
    for picture in table["pictures"]:
        pictures += [f"![{_flat(picture['text'])}]({picture['file']})", "", picture["text"], ""]
    return "\n".join(
        [
            *(f"# {table['name']}", "", headline(table) + ".", ""),
            *(f"- {_flat(caution)}" for caution in table["cautions"]),
            *("", "The data, before training:", ""),
            *(f"- {_flat(line)}" for line in table["data"]),
            *("", *lines, "", *pictures, *about, ""),
        ]
    )


def csv_of(table: Mapping[str, Any]) -> str:
    """A row a rung, all digits."""
    alone = ("name", "arch", "against", "reported", "parameters", "steps", "epochs", "num_images")
    keys = ("difference", "low", "high", "p_value", "p_adjusted", "verdict", "standard_error")
    keys += ("units_error", "seeds_error", "freedom", "num_images")
    rows = []
    for row in table["rungs"]:
        line = {key: row[key] for key in (*alone, "failed")}
        line["chosen"] = (row["search"] or {}).get("winner")
        line["predicted_per_second"] = row["predicted_per_second"]
        line["wall_seconds"] = _joined(row["wall_seconds"])
        line["validation"] = (row["validation"] or {}).get("mean")
        for metric in table["metrics"]:
            score, compared = row["scores"].get(metric, {}), row["compared"].get(metric, {})
            line |= {f"{metric}.{key}": score.get(key) for key in ("mean", "deviation")}
            line |= {f"{metric}.own_{key}": score.get(key) for key in ("low", "high")}
            line[f"{metric}.each"] = _joined(score.get("each", []))
            line |= {f"{metric}.{key}": compared.get(key) for key in keys}
        rows.append(line)
    return tables.csv_of(rows)


def _validated(table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Rung -> its validation score by epoch, of those that have one."""
    return {row["name"]: row["by_epoch"] for row in table["rungs"] if row["by_epoch"]}


def _epochs_of(table: Mapping[str, Any]) -> str:
    """The chart of validation scores by epoch; "" where nothing was validated."""
    curves = _validated(table)
    if not curves:
        return ""
    score = next(iter(curves.values()))["score"]
    return epochs_chart(score, curves)


def _epoch_rows(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a rung and epoch."""
    return [
        {"rung": name, "epoch": epoch, "runs": own["runs"], "mean": mean, "deviation": deviation}
        for name, own in _validated(table).items()
        for epoch, (mean, deviation) in enumerate(
            zip(own["mean"], own["deviation"], strict=True), 1
        )
    ]


def render(
    table: Mapping[str, Any], picture: str, *, epochs: str, files: Mapping[str, bytes]
) -> str:
    """The page as text; it loads nothing and runs nothing."""
    rows = [cells(table, row) for row in table["rungs"]]
    verdicts = [_verdict(table, row) for row in table["rungs"]]
    context = {
        "table": table,
        "headline": headline(table),
        "heads": list(rows[0]),
        "rows": [(list(row.values()), kind) for row, kind in zip(rows, verdicts, strict=True)],
        "plot": picture,
        "epochs": epochs,
        "uris": {name: png_uri(content) for name, content in files.items()},
        "spent": sum(sum(row["wall_seconds"]) for row in table["rungs"]),
    }
    return render_template("ladder.html", context)


def plot(table: Mapping[str, Any]) -> str:
    """Scores to the left, differences with their intervals to the right, a row a rung: SVG."""
    metric, rungs = table["metrics"][0], table["rungs"]
    scores = [v for r in rungs for v in r["scores"].get(metric, {}).get("each", [])]
    scores += [r["reported"] for r in rungs]
    ends = [r["compared"].get(metric, {}).get(key) for r in rungs for key in ("low", "high")]
    height = TOP + ROW * len(rungs) + 30
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ladder" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{escape(table["name"])}: scores and differences">',
        f"<style>{STYLE}</style>",
    ]
    at_score = _axis(drawn, [v for v in scores if v is not None], LEFT, LEFT_END, height=height)
    at_gain = _axis(
        drawn,
        [0.0, *(v for v in ends if v is not None and abs(v) < 1)],
        RIGHT,
        RIGHT_END,
        height=height,
    )
    drawn.append(_text(LEFT, 18, f"{metric}, mean and seeds, ◇ reported"))
    drawn.append(_text(RIGHT, 18, "difference to the rung compared to, 95 %"))
    zero = at_gain(0.0)
    drawn.append(f'<line class="zero" x1="{zero}" x2="{zero}" y1="{TOP - 8}" y2="{height - 28}"/>')
    for place, row in enumerate(rungs):
        drawn += _drawn_row(table, row, TOP + ROW * place + ROW / 2, at_score, at_gain=at_gain)
    return "\n".join([*drawn, "</svg>", ""])


def _drawn_row(table, row, y: float, at_score, at_gain) -> list[str]:
    metric = table["metrics"][0]
    drawn = [_text(LEFT - 14, y + 4, row["name"], "end")]
    score, compared = row["scores"].get(metric), row["compared"].get(metric)
    if row["reported"] is not None:
        x = at_score(row["reported"])
        drawn.append(f'<path class="said" d="M{x - 6} {y}l6 -6l6 6l-6 6z"/>')
    if score is None:
        drawn.append(_text(LEFT, y + 4, "failed", kind="dim"))
    else:
        for each in score["each"]:
            if each is not None:
                drawn.append(f'<circle class="each" cx="{at_score(each)}" cy="{y}" r="3"/>')
        if score["mean"] is not None:
            drawn.append(
                f'<circle class="mean" cx="{at_score(score["mean"])}" cy="{y}" r="5">'
                f"<title>{decimals(score['mean'])}</title></circle>"
            )
    if compared is not None and compared["difference"] is not None:
        kind = _verdict(table, row)
        left, right = at_gain(compared["low"]), at_gain(compared["high"])
        drawn.append(f'<line class="reach {kind}" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        gain = decimals(compared["difference"], sign="+")
        drawn.append(
            f'<circle class="{kind}" cx="{at_gain(compared["difference"])}" cy="{y}" r="5"><title>'
            f"{gain} ({_interval(compared)}), {compared['verdict']}, against "
            f"{escape(row['against'])}</title></circle>"
        )
    return drawn


def _axis(drawn: list[str], values, left: float, right: float, height: float):
    """Draws rules and numbers; returns value -> x, cut to the axis."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    pad = 0.06 * (high - low) or 0.05
    low, high = low - pad, high + pad

    def across(value: float) -> float:
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return round(left + share * (right - left), 1)

    at = ticks(low, high, 5)
    for value, text in zip(at, tick_texts(at), strict=True):
        x = across(value)
        drawn.append(f'<line class="rule" x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{height - 28}"/>')
        drawn.append(_text(x, height - 10, text, "middle", kind="dim"))
    return across


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'


def _verdict(table, row) -> str:
    found = row["compared"].get(table["metrics"][0])
    return found["verdict"] if found and found["verdict"] != "cannot tell" else "open"


def _joined(values) -> str:
    return " ".join("" if v is None else f"{v:.6g}" for v in values)


def _flat(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _interval(compared: Mapping[str, Any]) -> str:
    if compared["low"] is None:
        return "–"
    return f"{decimals(compared['low'], sign='+')} .. {decimals(compared['high'], sign='+')}"


def _between(score: Mapping[str, Any] | None) -> str:
    """The interval of a rung's own score."""
    if score is None or score["low"] is None:
        return "–"
    return f"{decimals(score['low'])} .. {decimals(score['high'])}"


def _told(compared: Mapping[str, Any]) -> str:
    """A difference with its interval and its verdict."""
    difference = decimals(compared["difference"], sign="+")
    return f"{difference} ({_interval(compared)}), {compared['verdict']}"


def _p(value: float | None) -> str:
    return "< 0.001" if number(value) < 0.001 else decimals(value, 3)
