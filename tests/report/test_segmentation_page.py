"""The page as a whole: what it holds, what it survives, what it never does."""

import base64
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tests.report.example import EMPTY, NAMES, make_overlay, make_report, scores_of
from tfvision.errors import EnvironmentFault
from tfvision.report.looks import Look
from tfvision.report.overlay import HATCH, hex_colours
from tfvision.report.segmentation_page import SegmentationReport, render
from tfvision.report.shared import write_page

SECTIONS = [
    "headline",
    "warnings",
    "curves",
    "classes",
    "confusion",
    "overlays",
    "conventions",
    "data",
    "shares",
    "exports",
    "time",
    "config",
    "environment",
    "issues",
]
VOID = {"meta", "img", "br", "path", "input"}


class Page(HTMLParser):
    """Elements with their attributes, the text of each section, and unclosed tags."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts, self.section = [], [], {}, None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.elements.append((tag, attrs))
        if tag in ("section", "header"):
            self.section = attrs["id"]
            self.texts[self.section] = ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag
        if tag in ("section", "header"):
            self.section = None

    def handle_data(self, data):
        if self.section:
            self.texts[self.section] += data + " "

    def text(self, section):
        return re.sub(r"\s+", " ", self.texts[section])


def page_of(**changes):
    return Page(render(make_report(**changes)))


def test_sections_come_in_order_and_tags_close():
    page = page_of()
    assert list(page.texts) == SECTIONS
    assert page.open == []


def test_page_needs_nothing_from_outside():
    page = page_of()
    for tag, attrs in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attrs)
        assert attrs.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert attrs.get("href", "#").startswith("#")
    text = render(make_report())
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_page_follows_the_screen_and_dark_mode():
    page = page_of()
    metas = {attrs.get("name"): attrs.get("content") for tag, attrs in page.elements}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert "prefers-color-scheme: dark" in render(make_report())


def test_tables_scroll_in_a_box_of_their_own():
    elements = page_of().elements
    tables = [place for place, (tag, _) in enumerate(elements) if tag == "table"]
    assert len(tables) == 6
    assert all(elements[place - 1][1].get("class") == "scroll" for place in tables)


def test_every_text_is_escaped():
    evil = '"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>'
    row = {"severity": evil, "id": evil, "place": evil, "problem": evil, "advice": evil}
    report = make_report(
        task=evil,
        arch=evil,
        run=evil,
        config=evil,
        command=evil,
        env={evil: evil},
        contract={evil: evil},
        warnings=[evil],
        issues=[row],
        timing={evil: 1.0},
        baselines=[{"name": evil, "explanation": evil, "val": 0.1, "test": 0.1}],
        exports=[{"file": evil, "loaded_with": evil, "bytes": 1}],
        depths=[{"depth": evil}],
        overlays={"worst": [replace(make_overlay(evil), split=evil)], "best": []},
    )
    report.data |= {"class_names": [evil, evil, evil], "source": evil, "layout": evil, "how": evil}
    report.data |= {"splits": {evil: 1}, "class_pixels": {evil: [1, 1, 1]}}
    report.scores["val"].conventions = [{"name": evil, "explanation": evil, "mean_iou": 0.1}]
    page = Page(render(report))
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in page_of().elements} | {"h3"}
    assert not any("onerror" in attrs for _, attrs in page.elements)
    assert page.open == []
    for section in SECTIONS:
        assert "alert(1)" in page.texts[section], section


def test_headline_shows_the_scores_beside_the_baselines():
    report = make_report()
    text = Page(render(report)).text("headline")
    test, val = (report.scores[split].scores["mean_iou"] for split in ("test", "val"))
    assert text.index(f"{test:.3f}") < text.index(f"{val:.3f}")  # test first
    assert f"+{test - 0.2:.3f} over intensity lookup" in text
    assert "majority class 0.160" in text
    assert "majority class 0.170" in text
    assert "Not better" not in text
    assert "1 min 15 s" in text


def test_headline_owns_up_to_a_useless_model():
    bad = [{"name": "majority class", "explanation": "", "val": 0.99, "test": 0.99}]
    text = page_of(baselines=bad).text("headline")
    assert "Not better than majority class" in text


def test_post_processed_scores_stand_beside_the_plain_ones():
    report = make_report()
    assert "0.111" not in render(report)
    split = report.scores["val"]
    split.post_processed = {**split.scores, "mean_iou": 0.777, "per_class_iou": [0.111, 0.2, None]}
    page = Page(render(report))
    assert "0.777" in page.text("headline")
    assert "0.111" in page.text("classes")


def test_curves_have_the_baseline_and_the_best_epoch():
    text = page_of().text("curves")
    for title in ("Loss", "Mean IoU", "IoU of each class", "Pixel accuracy", "Learning rate"):
        assert title in text
    assert "majority class 0.17" in text
    assert "majority class 0.5" in text  # accuracy: soil, the most frequent in training
    assert "best: epoch 3, 0.500" in text


def test_of_many_classes_the_weakest_are_drawn():
    history = [
        {"epoch": epoch, **{f"val_iou_{k}": (20 - k) / 20 for k in range(20)}} for epoch in (1, 2)
    ]
    history[1]["val_iou_19"] = math.nan
    report = make_report(history=history, scores={}, overlays={})
    report.data |= {"num_classes": 20, "class_names": [f"kind{k:02}" for k in range(20)]}
    report.data |= {"class_pixels": {}, "class_images": {}}
    text = Page(render(report)).text("curves")
    assert "kind18" in text
    assert "kind07" in text
    assert "kind06" not in text  # 7 to 18 are the twelve weakest that have a number
    assert "12 classes weakest" in text


def test_overlays_use_the_colours_of_the_legend():
    elements = page_of().elements
    chips = {
        match.group(1)
        for _, attrs in elements
        if (match := re.fullmatch(r"background:(#\w{6})", attrs.get("style") or ""))
    }
    hatch = {"#{:02x}{:02x}{:02x}".format(*colour) for colour in HATCH}
    for tag, attrs in elements:
        if tag == "img" and attrs["alt"].split()[0] in ("truth", "prediction"):
            data = base64.b64decode(attrs["src"].partition(",")[2])
            picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 3)
            found = {"#{:02x}{:02x}{:02x}".format(*colour) for colour in picture}
            assert set(hex_colours(3)) <= found
            assert found - hatch <= chips


def test_samples_show_worst_then_best_with_id_and_score():
    text = page_of().text("overlays")
    assert text.index("Worst") < text.index("tile_7") < text.index("Best") < text.index("tile_9")
    assert "score 0.500" in text
    alts = [attrs["alt"] for tag, attrs in page_of().elements if tag == "img"]
    assert alts[:4] == [f"{part} of tile_7" for part in ("image", "truth", "prediction", "errors")]


def test_looks_have_their_class_their_share_and_a_table():
    shown = [
        Look("a<b", "val", "worst", 1, np.zeros((8, 12, 3), np.uint8), 0.25),
        Look("c", "val", "rarest class", 2, np.zeros((8, 12, 3), np.uint8), None),
    ]
    row = {"outside": 0.25, "area": 0.625, "images": 1}
    report = make_report(looks=shown)
    report.summary["attention"] = {"split": "val", "images": 2, "classes": {NAMES[1]: row}}
    page = Page(render(report))
    text = page.text("overlays")
    assert f"{NAMES[1]} , 25 % outside worst · val · a<b" in text
    assert f"{NAMES[2]} , no share: not in the truth, or nothing speaks for it rarest" in text
    assert f"images {NAMES[1]} 25 % 62 % 1" in text
    alts = [attrs.get("alt", "") for tag, attrs in page.elements if tag == "img"]
    assert sum(alt.startswith("what speaks for") for alt in alts) == 2
    report = make_report()
    report.summary["attention"] = {"skipped": "no map"}
    assert "Where it looks is not shown: no map." in Page(render(report)).text("overlays")
    assert "Where it looks" not in page_of().text("overlays")


def test_confusion_counts_are_at_the_cells():
    titles = [attrs.get("title") for tag, attrs in page_of().elements if tag == "td"]
    assert "bedrock → soil: 20 pixels, 40.0 % of true bedrock" in titles
    text = page_of().text("confusion")
    assert text.index("test") < text.index("50 % of bedrock is taken for soil")


def test_exports_and_depths():
    exports = [{"file": "a.keras", "bytes": 10, "max_difference": 0.03, "labels_equal": False}]
    depths = [{"depth": 1, "num_parameters": 9000, "val mean_iou": 0.41, "images_per_second": 900}]
    text = page_of(exports=exports, depths=depths).text("exports")
    assert "no" in text.split("a.keras")[1]
    assert "0.410" in text
    assert "Depths" not in page_of().text("exports")


def test_long_lists_of_issues_are_cut_and_say_so():
    issue = make_report().issues[0]
    text = page_of(issues=[issue] * 3000).text("issues")
    assert text.count("one class only") == 50
    assert "all 3000; here are the first 50" in text


MISSING = {
    "no test labels": {"scores": {"val": scores_of(np.eye(3, dtype=int) * 9)}},
    "no labels": {"scores": {}, "overlays": {}, "baselines": []},
    "no epochs": {"history": [], "summary": {"epochs": 0, "best_epoch": None}},
    "one epoch": {"history": make_report().history[:1]},
    "nothing but losses": {"history": [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": math.nan}]},
    "cells of text": {"history": [{"epoch": "1", "loss": "2.0", "val_loss": ""}]},
    "all NaN": {"history": [{"epoch": 1, "loss": math.nan, "val_mean_iou": None}]},
    "absent class": {"scores": {"val": scores_of(np.diag([5, 5, 0]))}},
    "no data": {"data": {}},
    "one baseline": {"baselines": [{"name": "majority class", "val": 0.1}]},
    "no warnings": {"warnings": []},
    "no lists": {"issues": [], "exports": [], "timing": {}, "contract": {}, "env": {}},
    "no seconds": {"timing": {"scan": 0.0}},
}


@pytest.mark.parametrize("changes", MISSING.values(), ids=MISSING.keys())
def test_missing_parts_are_said_so(changes):
    page = page_of(**changes)
    expected = [s for s in SECTIONS if s != "warnings" or changes.get("warnings", True)]
    assert list(page.texts) == expected
    assert page.open == []
    assert all(text.strip() for text in page.texts.values())
    visible = " ".join(page.texts.values())
    assert not re.search(r"\b(nan|inf|undefined)\b", visible, re.IGNORECASE)
    styles = " ".join(attrs.get("style") or "" for _, attrs in page.elements)
    assert "nan" not in styles


def test_a_report_of_nothing_at_all():
    empty = SegmentationReport(**EMPTY, overlays={})
    page = Page(render(empty))
    assert list(page.texts) == [section for section in SECTIONS if section != "warnings"]
    assert "trained no epoch" in page.text("curves")


def test_sections_say_what_is_missing():
    page = page_of(scores={}, overlays={}, history=[], exports=[], timing={})
    assert "no score" in page.text("headline")
    assert "no curves" in page.text("curves")
    assert "No split has labels" in page.text("confusion")
    assert "no sample with labels" in page.text("overlays")
    assert "Nothing was exported" in page.text("exports")
    assert "No phase was timed" in page.text("time")


def test_names_are_made_up_where_the_data_has_too_few():
    report = make_report()
    report.data["class_names"] = NAMES[:1]
    assert "class 2" in Page(render(report)).text("classes")


def test_a_large_run_stays_below_a_megabyte_and_a_half():
    rng = np.random.default_rng(0)
    classes = 30
    history = [
        {
            "epoch": epoch,
            "loss": rng.random(),
            "val_loss": rng.random(),
            "val_mean_iou": rng.random(),
            **{f"val_iou_{k}": rng.random() for k in range(classes)},
        }
        for epoch in range(1, 1001)
    ]
    matrix = scores_of(rng.integers(1, 999, (classes, classes)))
    samples = [make_overlay(f"tile_{k}", seed=k, size=(256, 256)) for k in range(6)]
    report = make_report(
        history=history,
        scores={"val": matrix, "test": matrix},
        overlays={"worst": samples[:3], "best": samples[3:]},
    )
    report.data |= {
        "num_classes": classes,
        "class_names": [f"class of kind {k}" for k in range(30)],
    }
    assert len(render(report).encode()) < 1_500_000


def test_write_report_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_page(path, render(make_report()))
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_failing_render_leaves_the_old_file(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    broken = make_overlay("tile_7")
    broken = replace(broken, prediction=broken.prediction[:4])
    with pytest.raises(ValueError, match="tile_7"):
        write_page(path, render(make_report(overlays={"worst": [broken]})))
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EnvironmentFault, match=r"report\.html: No space left"):
        write_page(path, render(make_report()))
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_ids_that_are_no_text_are_written_escaped(tmp_path):
    report = make_report(overlays={"worst": [make_overlay("tile_\udcff")], "best": []})
    write_page(tmp_path / "report.html", render(report))
    assert "tile_\\udcff" in (tmp_path / "report.html").read_text(encoding="utf-8")
