"""The page of a comparison: complete, self-contained, safe with hostile names."""

import html
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from tfvision.report.compare_page import Comparison, Pair, histogram, render, write_comparison
from tfvision.stats.bootstrap import Difference
from tfvision.tasks.facts import facts_of

HOSTILE = '<script>alert("x")</script>'


def difference(value: float = 0.03, reach: float = 0.02, **changes) -> Difference:
    spread = np.random.default_rng(0).normal(value, reach / 2, 1000)
    found = Difference(
        first=0.5,
        second=0.5 + value,
        difference=value,
        low=value - reach,
        high=value + reach,
        standard_error=reach / 2,
        p_value=0.004,
        detectable=1.4 * reach,
        num_units=40,
        num_differing=38,
        resampled=spread,
        errors=np.full(1000, reach / 2),
    )
    return replace(found, **changes)


def comparison(names=("base", "new"), classes=("sky", "sea"), **changes) -> Comparison:
    pairs = [
        Pair(
            names[0],
            name,
            difference(),
            [difference(), difference(-0.01, 0.3)],
            p_adjusted=0.008,
            verdict="better",
            images=[{"id": "scene 7", "baseline": 0.2, "run": 0.9, "difference": 0.7}],
        )
        for name in names[1:]
    ]
    history = [{"epoch": str(e), "loss": "1.5", "val_mean_iou": f"0.{e}"} for e in (1, 2, 3)]
    runs = [
        {
            "name": name,
            "path": f"runs/{name}",
            "arch": "unet",
            "seed": 1,
            "num_parameters": 1234,
            "epochs": 3,
            "best_epoch": 2,
            "variables_sha256": "ab",
            "post_processed": False,
            "score": 0.5,
        }
        for name in names
    ]
    found = Comparison(
        split="test",
        score="mean_iou",
        score_title="mean IoU",
        class_score="IoU",
        kept="confusion matrices",
        convention="contract",
        contract={"ignore_labels": (), "absent": "skip"},
        class_names=list(classes),
        num_images=40,
        num_units=40,
        resampled="images",
        resamples=1000,
        level=0.05,
        runs=runs,
        histories=dict.fromkeys(names, history),
        pairs=pairs,
        cautions=["Only 40 images."],
    )
    return replace(found, **changes)


def visible(page: str) -> str:
    text = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_the_page_says_verdict_difference_and_interval():
    text = visible(render(comparison()))
    assert "+0.0300 better" in text
    assert "95 % interval +0.0100 to +0.0500: better than the baseline" in text
    assert "true difference of 0.0280 would be found in 8 of 10" in text
    assert "Only 40 images." in text
    assert "scene 7 base 0.200 new 0.900 +0.7000" in text
    assert "mean IoU on test: 40 images" in text
    assert "Holm" not in text


def test_a_family_shows_its_correction():
    text = visible(render(comparison(names=("base", "new", "newer"))))
    assert "p, Holm" in text
    assert "2 differences are a family" in text
    assert comparison(names=("base", "new", "newer")).text().count("0.008") == 2


def test_the_terminal_has_the_same_numbers():
    lines = comparison().text().splitlines()
    assert lines[0] == "mean IoU on test: 40 images"
    (row,) = (line for line in lines if line.startswith("new  "))
    assert row.split() == [
        "new",
        "0.5300",
        "+0.0300",
        "+0.0100",
        "..",
        "+0.0500",
        "0.004",
        "better",
    ]
    (sea,) = (line for line in lines if line.startswith("sea"))
    assert sea.split() == ["sea", "0.5000", "0.4900", "-0.0100", "-0.3100", "..", "+0.2900"]
    assert "! Only 40 images." in lines


def test_nothing_is_loaded_and_no_script_runs():
    page = render(comparison())
    assert "Content-Security-Policy" in page
    assert "default-src 'none'" in page
    assert 'name="viewport"' in page
    assert not re.search(r"<script|javascript:|https?://|@import|url\(", page)


def test_names_are_escaped_everywhere():
    names = ("base", HOSTILE)
    item = comparison(names=names, classes=(HOSTILE, "sea"), cautions=[HOSTILE])
    item.pairs[0].images[0]["id"] = HOSTILE
    item.pairs[0].no_pictures = HOSTILE
    page = render(item)
    assert "<script" not in page
    assert page.count(html.escape(HOSTILE, quote=False).replace('"', "&#34;")) > 6
    item.pairs[0].pictures[HOSTILE] = dict.fromkeys(("image", "truth", "baseline", "run"), "data:,")
    assert "<script" not in render(item)


def test_pictures_stand_under_their_image():
    item = comparison()
    keys = ("image", "truth", "baseline", "run")
    item.pairs[0].pictures["scene 7"] = {key: f"data:image/png;base64,{key}" for key in keys}
    page = render(item)
    assert [page.count(f"data:image/png;base64,{key}") for key in keys] == [1, 1, 1, 1]


def test_curves_of_all_runs_share_a_chart():
    page = render(comparison())
    charts = re.findall(r"<figcaption>(Validation mean IoU|Training loss|Validation loss)", page)
    assert charts == ["Validation mean IoU", "Training loss"]  # no run has val_loss
    assert "These runs have no epochs" in render(comparison(histories={"base": [], "new": []}))


def test_runs_of_different_lengths_are_drawn_to_their_own_end():
    item = comparison()
    item.histories["new"] = [{"epoch": "7", "val_mean_iou": "0.9"}]
    assert "epoch 7" in visible(render(item))


def test_what_is_undefined_is_none_and_a_dash():
    nothing = dict.fromkeys(("first", "second", "difference", "low", "high", "p_value"), math.nan)
    item = comparison()
    item.pairs[0].classes[0] = difference(**nothing)
    entry = json.loads(json.dumps(item.to_json(), allow_nan=False))["pairs"][0]["classes"][0]
    assert entry["low"] is entry["difference"] is None
    assert "nan" not in visible(render(item)).lower()
    assert [line.split() for line in item.text().splitlines() if line.startswith("sky")] == [
        ["sky", "-", "-", "-", "-"]
    ]


def test_the_histogram_holds_what_it_draws():
    plot = histogram(difference(0.03, 0.02))
    assert plot["zero"] < plot["low"] < plot["estimate"] < plot["high"]
    assert max(bar["height"] for bar in plot["bars"]) == 100
    assert all(0 <= bar["left"] <= 100 for bar in plot["bars"])
    fullest = max(plot["bars"], key=lambda bar: bar["height"])
    assert abs(fullest["left"] + plot["width"] / 2 - plot["estimate"]) < 8
    # An interval without bound must not squeeze the bars into a line.
    unbounded = histogram(difference(0.03, 0.02, low=-1.0, high=1.0))
    assert (unbounded["low"], unbounded["high"]) == (0, 100)
    assert len(unbounded["bars"]) > 20
    assert histogram(difference(resampled=np.zeros(5))) is None
    assert "the same in every resample" in render(
        comparison(
            pairs=[Pair("base", "new", difference(resampled=np.zeros(5)), [difference()] * 2)]
        )
    )


def test_class_intervals_share_one_scale():
    page = render(comparison())
    assert "on a scale from -0.3100 to +0.3100" in visible(page)
    lanes = re.findall(r'class="lane"><i style="left:([\d.]+)%;width:([\d.]+)%', page)
    ends = [(float(left), float(left) + float(width)) for left, width in lanes]
    assert ends[0] == pytest.approx((50 + 50 * 0.01 / 0.31, 50 + 50 * 0.05 / 0.31), abs=0.11)
    assert ends[1] == pytest.approx((0, 50 + 50 * 0.29 / 0.31), abs=0.11)


def test_the_file_is_written_whole(tmp_path):
    write_comparison(tmp_path / "out" / "compare.html", comparison(names=("a\udcff", "b")))
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")


@pytest.mark.parametrize("verdict", ["better", "worse", "cannot tell"])
def test_every_verdict_has_its_words(verdict):
    item = comparison()
    item.pairs[0].verdict = verdict
    assert verdict in visible(render(item))


@pytest.mark.parametrize(
    ("score", "title", "of_classes"),
    [
        ("mean_iou", "mean IoU", "IoU"),
        ("macro_f1", "macro-F1", "F1"),
        ("balanced_accuracy", "balanced accuracy", "recall"),
    ],
)
def test_classes_are_judged_by_what_belongs_to_the_score(score, title, of_classes):
    known = facts_of("segmentation").score(score)
    found = comparison(score=score, score_title=known.title, class_score=known.of_class)
    assert f"{of_classes} of each class, new minus base" in found.text()
    assert f"{title} on test" in found.text()
    assert f"{of_classes} of each class from the counts of all images" in render(found)
