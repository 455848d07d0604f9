"""The page of an audit: every finding with its pictures, and nothing that could run."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.report.example import make_report
from tests.report.test_segmentation_page import Page
from tfvision.report import audit_page, segmentation_page
from tfvision.report.audit_page import AuditPage, Member, Shown, outlined, render, write_audit_page
from tfvision.report.overlay import HATCH, palette

HOSTILE = "<script>alert('x')</script>\"><img src=//evil.example/x onerror=a()>"


def finding(title="one mask", severity="warning", count=3, suspects=(1,), first=0) -> Shown:
    members = [
        Member(first + i, f"s{first + i}", "train_set", "train", i in suspects)
        for i in range(count)
    ]
    return Shown(title, severity, f"reading of {title}", members, {"fit": 0.123456})


def page(**changes) -> AuditPage:
    base = AuditPage(
        name="tiles.npz",
        layout="tiles.npz: images",
        facts={"sizes": "8 x 12 (5)"},
        parts=[{"part": "train_set", "split": "train", "samples": 5, "labelled": 4}],
        class_names=["sky", "soil"],
        class_pixels={"train": [30, 10]},
        class_images={"train": [4, 1]},
        labelled={"train": 4},
        findings=[finding()],
        issues=[],
        notes=[],
    )
    return replace(base, **changes)


def picture(index):
    """A picture that differs for every index."""
    image = np.full((8, 12, 1), 10 + index, np.uint8)
    return image, np.eye(8, 12, dtype=np.int32)


def images(text) -> list[np.ndarray]:
    uris = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri)))) for uri in uris]


def test_every_finding_is_there_with_its_reading_evidence_and_pictures():
    found = [finding(f"kind {n}", count=3, first=10 * n) for n in range(7)]
    text = render(page(findings=found), picture)
    assert all(f"Reading of kind {n}" in text and f"Kind {n}" in text for n in range(7))
    assert text.count("0.123") == 7
    shown = images(text)
    assert len(shown) == 21
    inner = sorted({int(image[-3, 1, 0]) for image in shown})  # a pixel inside the sky
    assert inner == sorted(10 + 10 * n + i for n in range(7) for i in range(3))
    assert len(re.findall("class=held", text)) == 7


def test_a_finding_of_many_samples_shows_twelve_of_both_sides():
    many = finding(count=100, suspects=range(90))
    text = render(page(findings=[many]), picture)
    assert len(images(text)) == audit_page.MAX_SHOWN == 12
    assert len(re.findall("class=held", text)) == 6
    assert "and 40 more" in text


def test_very_many_findings_keep_their_texts(monkeypatch):
    monkeypatch.setattr(audit_page, "MAX_PICTURES", 10)
    text = render(page(findings=[finding(f"kind {n}", first=9 * n) for n in range(20)]), picture)
    assert all(f"Reading of kind {n}" in text for n in range(20))
    assert len(images(text)) == 10
    assert text.count("Not pictured") == 15


def test_pictures_shrink_until_they_fit(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    text = render(page(), lambda index: (noise, None))
    assert max(image.shape[1] for image in images(text)) == 256
    monkeypatch.setattr(audit_page, "BUDGET", 300_000)
    small = render(page(), lambda index: (noise, None))
    assert {image.shape[:2] for image in images(small)} == {(96, 128)}


def test_texts_are_escaped_and_nothing_is_fetched():
    member = Member(0, HOSTILE, HOSTILE, "train", True)
    hostile = Shown(HOSTILE, "warning", HOSTILE, [member], {HOSTILE: [HOSTILE]})
    issue = dict.fromkeys(("id", "place", "problem", "advice"), HOSTILE) | {"severity": "error"}
    text = render(
        page(
            name=HOSTILE,
            layout=HOSTILE,
            facts={HOSTILE: HOSTILE},
            parts=[{"part": HOSTILE, "split": HOSTILE, "samples": 1, "labelled": 1}],
            class_names=[HOSTILE, "b"],
            findings=[hostile],
            issues=[issue],
            notes=[HOSTILE],
            command=HOSTILE,
        ),
        picture,
    )
    tree = Page(text)
    assert not tree.open
    assert {tag for tag, _ in tree.elements} & {"script", "iframe", "link", "object"} == set()
    for tag, attributes in tree.elements:
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "img":
            assert attributes["src"].startswith("data:image/png;base64,")
    assert "default-src 'none'" in text
    assert HOSTILE in "".join(tree.texts.values())


def test_data_without_readable_pictures_classes_or_findings():
    text = render(page(), lambda index: None)
    assert text.count("cannot be read") == 3
    bare = page(
        class_names=[], class_pixels={}, class_images={}, labelled={}, findings=[], parts=[]
    )
    text = render(bare, picture)
    assert "Nothing was found" in text
    assert "No mask could be counted" in text


def test_a_page_is_written_with_ids_that_are_no_text(tmp_path):
    odd = Shown("t", "note", "", [Member(0, "a\udcff", "", "", False)])
    write_audit_page(tmp_path / "audit.html", page(findings=[odd]), picture)
    assert "a\\udcff" in (tmp_path / "audit.html").read_text()


def test_outlines_run_inside_the_higher_class():
    image = np.full((6, 6, 1), 100, np.uint8)
    mask = np.zeros((6, 6), np.int32)
    mask[1:5, 1:5] = 1
    drawn = outlined(image, mask, 2, 6)
    colours = palette(2)
    ring = np.ones((4, 4), bool)
    ring[1:3, 1:3] = False
    np.testing.assert_array_equal(drawn[1:5, 1:5][ring], np.tile(colours[1], (12, 1)))
    assert (drawn[2:4, 2:4] == 100).all()
    assert (
        outlined(np.full((9, 9, 1), 90, np.uint8), np.pad(mask[:5, :5], 2), 2, 9)[2, 4] == 30
    ).all()
    edge = np.ones((6, 6), bool)
    edge[1:5, 1:5] = False
    np.testing.assert_array_equal(drawn[edge], np.tile(colours[0], (20, 1)))


@pytest.mark.parametrize(("label", "colour"), [(1, palette(2)[1]), (255, HATCH[1])])
def test_a_mask_of_one_class_is_a_frame(label, colour):
    drawn = outlined(np.zeros((5, 7, 3), np.uint8), np.full((5, 7), label), 2, 7)
    assert (drawn[1:-1, 1:-1] == 0).all()
    assert (drawn[0] == colour).all()
    assert (drawn[:, -1] == colour).all()


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((64, 128), 256, (128, 256)), ((300, 100), 150, (150, 50)), ((1, 9), 256, (4, 36))],
)
def test_pictures_are_enlarged_by_whole_numbers_or_reduced(size, side, expected):
    image = np.arange(size[0] * size[1]).reshape(*size, 1).astype(np.uint8)
    drawn = outlined(image, None, 2, side)
    assert drawn.shape == (*expected, 3)
    if expected > size:
        times = expected[0] // size[0]
        np.testing.assert_array_equal(drawn[::times, ::times, :1], image)


def test_the_report_of_a_run_lists_what_the_audit_found():
    item = {
        "severity": "warning",
        "meaning": "one mask under different images",
        "reading": f"reading {HOSTILE}",
        "members": [{"id": f"m{i}"} for i in range(9)],
        "suspects": [{"id": "m3"}],
    }
    text = segmentation_page.render(make_report(audit=[item] * 25))
    assert text.count("one mask under different images") == 20
    assert "m5 and 3 more; suspected: m3" in text
    assert "the first 20 of 25" in text
    assert "<script" not in text
    assert "What the audit found" not in segmentation_page.render(make_report())
