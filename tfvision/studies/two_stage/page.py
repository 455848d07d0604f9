"""The page of a run of two stages: what each of them loses, and what they found."""

from typing import Any

import numpy as np

from tfvision.config import dump_config
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import native_scanned
from tfvision.report.boxes import draw_boxes
from tfvision.report.overlay import draw_images
from tfvision.report.shared import render_template
from tfvision.runs.load import LoadedRun
from tfvision.tasks.scored import Scored

SHOWN = 24  # images


def make_page(
    loaded: LoadedRun,
    prepared: Prepared,
    scored: dict[str, Scored],
    summary: dict[str, Any],
    *,
    command: str,
) -> str:
    """The text of `report.html`.

    Args:
        loaded: The run.
        prepared: Its data.
        scored: What it predicted, by split.
        summary: Its `summary.json`.
        command: That made it.
    """
    split = next((name for name in ("test", "val") if name in scored), None)
    record = loaded.folder.read_json("two_stage.json")
    return render_template(
        "two_stage.html",
        {
            "name": loaded.folder.path.name,
            "summary": summary,
            "record": record,
            "links": [f"{entry['run']}/report.html" for entry in record["members"]],
            "splits": {s: m["stages"] for s, m in summary["metrics"].items()},
            "metrics": summary["metrics"],
            "split": split,
            "pictures": [] if split is None else _pictures(prepared, split, scored[split]),
            "config": dump_config(loaded.config),
            "command": command,
            "data": prepared.source.layout,
            "how": prepared.how,
        },
    )


def _pictures(prepared: Prepared, split: str, scored: Scored) -> list[dict[str, Any]]:
    """Images with what was cut out of them, mistakes first; annotated boxes are broken lines."""
    truth, labels = scored.details["truth"], np.array(scored.answers).reshape(-1)
    order = np.argsort(labels == truth, kind="stable")[:SHOWN]
    names, places, drawn = prepared.class_names, prepared.indices(split), []
    for i in order:
        find = scored.details["finds"][i]
        image = native_scanned(prepared, places[i]).picture
        both = [find["kept"]] if find["truth"] is None else [find["kept"], find["truth"]]
        for boxes, dashed in zip(both, (False, True), strict=False):
            numbers = np.zeros(len(boxes), int) + dashed
            image = draw_boxes(image, boxes, numbers, ["", ""], dashed=dashed)
            if not dashed and len(both) > 1:
                scale = image.shape[1] / native_scanned(prepared, places[i]).image.shape[1]
                both[1] = both[1] * scale
        drawn.append(image)
    return [
        {
            "id": scored.ids[i],
            "image": uri,
            "truth": names[truth[i]],
            "said": names[labels[i]],
            "right": bool(labels[i] == truth[i]),
            "fell": bool(scored.details["finds"][i]["fell"]),
        }
        for i, uri in zip(order, draw_images(drawn), strict=True)
    ]
