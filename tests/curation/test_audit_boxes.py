"""The audit of data with boxes: its lines, its files, its page, and what it refuses."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfvision.cli import commands
from tfvision.config import load_config
from tfvision.recipe.dataset import prepare
from tfvision.tasks.detection.schema import DetectionConfig

ROOT = Path(__file__).parents[2]
SIZE = (64, 96)


def write_set(folder: Path, *, side=20, number=12, size=SIZE) -> Path:
    """Noise with squares of class 0 on all images and of class 1 on every third; image 4 has an
    object with two labels, image 5 a tiny box, image 6 none at all."""
    rng = np.random.default_rng(0)
    rows = []
    (folder / "images").mkdir(parents=True)
    for i in range(number):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i:02}.png")
        name = f"images/{i:02}.png"
        if i == 6:
            continue
        rows.append((name, 4 + i, 6, 4 + i + side, 6 + side, "cat"))
        if i % 3 == 0:
            rows.append((name, 50, 20, 50 + 2 * side // 3, 20 + 2 * side, "dog"))
        if i == 4:
            rows.append((name, 4 + i, 6, 4 + i + side, 7 + side, "dog"))
        if i == 5:
            rows.append((name, 60, 40, 65, 46, "cat"))
    lines = ["image,x1,y1,x2,y2,label", *(",".join(map(str, row)) for row in rows)]
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return folder


def config(folder: Path, *model: str) -> Path:
    lines = ["task: detection", "data: {source: embedded_boxes}", "model:", "  name: faster_rcnn"]
    path = folder / "config.yaml"
    path.write_text("\n".join([*lines, *(f"  {line}" for line in model)]) + "\n")
    return path


def audit(tmp_path, data, *more, out="out"):
    arguments = [data, "--task", "detection", "--out", tmp_path / out, *more]
    return commands.main(["audit", *map(str, arguments), "--debug"])


@pytest.fixture
def data(tmp_path):
    return write_set(tmp_path / "data")


@pytest.fixture
def own(tmp_path):
    """A config whose anchors lie well on the squares and on nothing else."""
    return config(
        tmp_path, "levels: [2, 3]", "anchor_sizes: [[20], [64]]", "ratios_hw: [1.0, 1.05]"
    )


def record(tmp_path, out="out"):
    return json.loads((tmp_path / out / "audit.json").read_text())


def test_lines_and_json_state_what_was_planted(tmp_path, data, own, capsys):
    assert audit(tmp_path, data, "--config", own) == 0
    printed = capsys.readouterr().out
    said = record(tmp_path)["boxes"]
    assert said["boxes"] == 16
    assert said["input_size"] == [64, 96]
    assert [(c["name"], c["boxes"], c["images"]) for c in said["classes"]] == [
        ("cat", 12, 11),
        ("dog", 4, 4),
    ]
    assert said["crowding"]["images_without"] == 1
    assert said["crowding"]["overlapping_other_class"] == 1
    recall = said["anchors"]["by_class"]
    assert recall["cat"]["0.5"] == pytest.approx(11 / 12)  # all but the tiny one
    assert recall["dog"]["0.5"] == pytest.approx(1 / 4)  # the one on a square
    for line in (
        "boxes: 16 in 12 images, 0 to 2 an image, median 1; 1 image without any",
        "crowding: 1 pair of boxes with an IoU above 0.5, 0 of one class, 1 of two",
        "network input: 64x96 (height x width), images scaled by 1 (data.fit: pad)",
        "below 8 pixels: 1 box, below 16: 1; before scaling 1 and 1",
        "anchors of faster_rcnn: recall 0.750 at IoU 0.5",
    ):
        assert line in printed
    assert re.search(
        r"to be split: boxes, images\ncat +75.0 %, +91.7 %\ndog +25.0 %, +33.3 %", printed
    )


def test_the_proposal_is_what_a_user_types_and_reaches_what_it_says(tmp_path, data, own, capsys):
    audit(tmp_path, data, "--config", own)
    printed = capsys.readouterr().out
    proposal = record(tmp_path)["boxes"]["proposal"]
    typed = re.findall(r"--set '(model\.\w+=[^']+)'", printed)[:2]
    assert [text.partition("=")[0] for text in typed] == ["model.anchor_sizes", "model.ratios_hw"]
    sets = [word for text in typed for word in ("--set", text)]
    assert audit(tmp_path, data, "--config", own, *sets, out="again") == 0
    after = record(tmp_path, "again")["boxes"]["anchors"]
    assert after["recall"] == proposal["recall"]
    assert after["recall"]["0.5"] > record(tmp_path)["boxes"]["anchors"]["recall"]["0.5"] + 0.1


def test_findings_name_images_and_boxes_and_what_to_type(tmp_path, data, own):
    audit(tmp_path, data, "--config", own)
    findings = {f["kind"]: f for f in record(tmp_path)["findings"]}
    ids = {k: [m["id"] for m in f["members"]] for k, f in findings.items()}
    assert ids["conflicting_box_labels"] == ["04"]
    assert ids["small_boxes"] == ["05"]
    assert ids["unreached_boxes"] == [f"{i:02}" for i in (0, 3, 5, 9)]
    tiny, unreached = findings["small_boxes"], findings["unreached_boxes"]
    assert tiny["severity"] == unreached["severity"] == "warning"
    assert "--set data.image_size=[128, 192]" in tiny["reading"]
    assert tiny["evidence"]["boxes"] == {"05": ["cat (60, 40, 65, 46), seen as 6 high and 5 wide"]}
    assert "Recall at 0.5 is below 0.9 for dog 0.25: try --set 'model." in unreached["reading"]


def test_a_label_that_is_left_out_is_a_conflict_too_and_an_exclude_list_counts(tmp_path, data, own):
    with open(data / "boxes.csv", "a") as file:
        file.write("images/07.png,11,6,31,26,dog\nimages/08.png,12,6,32,26,dog\n")
    (tmp_path / "no.csv").write_text("id,reason,evidence\n08,,\n")
    assert audit(tmp_path, data, "--config", own, "--exclude", tmp_path / "no.csv") == 0
    (found,) = (f for f in record(tmp_path)["findings"] if f["kind"] == "conflicting_box_labels")
    assert [member["id"] for member in found["members"]] == ["04", "07"]
    left_out = "dog (11, 6, 31, 26), left out; counted as cat"
    assert found["evidence"]["boxes"]["07"] == [left_out]
    assert left_out in (tmp_path / "out" / "audit.html").read_text()
    sets = ("--config", own, "--set", "data.source.conflicts=none")
    assert audit(tmp_path, data, *sets, out="none") == 0
    assert "images/07.png,11.0,6.0,31.0,26.0" in (tmp_path / "none" / "boxes.csv").read_text()


def test_the_page_pictures_boxes_conflicts_and_anchors(tmp_path, data, own):
    audit(tmp_path, data, "--config", own)
    text = (tmp_path / "out" / "audit.html").read_text()
    assert 'id="boxes"' in text
    assert "One object with boxes of two classes" in text
    assert "dog (8, 6, 28, 27), IoU 0.952" in text  # beneath its picture
    assert "One anchor of each shape" in text
    assert "dashed the anchor that lies nearest" in text
    members = sum(len(f["members"]) for f in record(tmp_path)["findings"])
    assert text.count("data:image/png") == members + 6 + 2  # samples, anchors
    assert "masks</th>" not in text


def test_a_letterbox_shrinks_boxes_and_the_audit_says_so(tmp_path, own, capsys):
    data = write_set(tmp_path / "large", size=(160, 240))
    assert audit(tmp_path, data, "--config", own, "--set", "data.image_size=[80,120]") == 0
    printed = capsys.readouterr().out
    assert "network input: 80x120 (height x width), images scaled by 0.5" in printed
    assert "below 16: 16; before scaling 1 and 1" in printed
    seen = record(tmp_path)["boxes"]["seen"]
    assert seen["size"][0] == pytest.approx(np.sqrt(30) / 2, abs=1e-3)


def test_size_and_stride_are_those_of_a_training(tmp_path, data, own):
    settings = load_config(
        DetectionConfig, own, [f"data.source={{name: auto, path: {data}}}", "data.val_fraction=0.2"]
    )
    from tfvision.tasks.detection.sizes import settled

    audit(tmp_path, data, "--config", own)
    prepared = prepare(settings.data, seed=0)
    assert list(settled(settings, prepared, 8).size) == record(tmp_path)["boxes"]["input_size"]
    assert any("one object with boxes of two classes: 1 finding" in n for n in prepared.notes)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["--set", "data.image_size=[60,96]"], r"\[60, 96\]: faster_rcnn needs multiples of 8"),
        (["--set", "model.levels=[3,5]"], "levels must follow one another"),
        (["--arch", "faster_rcnn"], "--arch or --config, not both"),
        (["--set", "train.epochs=3"], "sets keys of data"),
    ],
)
def test_what_a_training_refuses_is_refused(tmp_path, data, own, more, match, capsys):
    assert audit(tmp_path, data, "--config", own, *more) == 2
    assert re.search(match, capsys.readouterr().err)


def test_a_model_means_nothing_to_other_audits(tmp_path, capsys):
    assert commands.main(["audit", str(tmp_path), "--task", "segmentation", "--arch", "unet"]) == 2
    assert "that of a segmentation does not" in capsys.readouterr().err


def test_each_detector_has_its_anchors_looked_at_without_tensorflow(tmp_path, data):
    code = (
        "import sys; from tfvision.cli import commands; "
        "status = commands.main(['audit', *sys.argv[1:]]); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules); sys.exit(status)"
    )
    words = [sys.executable, "-c", code, str(data), "--task", "detection", "--out"]
    done = subprocess.run([*words, str(tmp_path / "o")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "anchors of faster_rcnn: recall" in done.stdout
