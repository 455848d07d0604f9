"""What users give a detection by mistake: each is said by name, before time is spent on it."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support import runs
from tests.tasks.detection.test_step import SMALL as TINY
from tests.tasks.detection.test_step import K
from tests.tasks.detection.test_training import SMALL, train, write_config
from tfvision.config import load_config
from tfvision.data.pipeline import Samples, training_batches
from tfvision.errors import InputError
from tfvision.losses import DETECTION_LOSSES
from tfvision.models import DETECTORS
from tfvision.recipe.dataset import prepare
from tfvision.registry import Spec
from tfvision.tasks.detection.schema import DetectionConfig
from tfvision.tasks.detection.task import Detection

CAT, DOG = (5, 5, 25, 25, "cat"), (30, 10, 50, 40, "dog")


def write_parts(root, **parts):
    """A folder and a table for each part: the rows of each of its images."""
    for number, (part, images) in enumerate(parts.items()):
        rows = ["filename,xmin,ymin,xmax,ymax,class"]
        (root / part).mkdir(parents=True)
        for i, boxes in enumerate(images):
            rng = np.random.default_rng(100 * number + i)
            pixels = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / part / f"{part}{i}.png")
            rows += [f"{part}{i}.png,{','.join(map(str, b))}" for b in boxes]
            rows += [f"{part}{i}.png,,,,,"] if not boxes else []
        (root / f"{part}.csv").write_text("\n".join(rows))
    return root


def prepared(path, tmp_path):
    config = load_config(DetectionConfig, write_config(tmp_path / "c.yaml", path))
    return config, prepare(config.data, seed=0)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {**SMALL, "levels": [1, 2]}}, "levels must follow one another and begin at 2"),
        ({"model": {**SMALL, "levels": [2, 4]}}, "levels must follow one another"),
        ({"model": {**SMALL, "levels": "3"}}, "levels is the text '3', not a number"),
        ({"model": {**SMALL, "anchor_sizes": [[8]]}}, "one entry for each of the 2 levels"),
        ({"model": {**SMALL, "nms": 1.5}}, "nms must be in [0, 1]. Received: 1.5"),
        ({"model": {**SMALL, "positive_share": 0}}, "positive_share must be above 0"),
        ({"model": {**SMALL, "max_detections": 0}}, "max_detections must be a whole number"),
        ({"model": {**SMALL, "backbone": "slim_restnet"}}, "Did you mean 'slim_resnet'?"),
        ({"model": {**SMALL, "chanels": 8}}, "'chanels'. Did you mean 'channels'?"),
        (
            {"loss": [{"name": "cross_entropy", "heads": ["hed"]}]},
            "loss `cross_entropy`: heads names 'hed'; this detector has rpn, head.",
        ),
        ({"loss": ["giouu"]}, "Did you mean 'giou'?"),
        ({"data": {"image_size": [50, 60]}}, "multiples of 8, its stride. Take [56, 64]."),
        (
            {"postprocess": [{"name": "score_threshold", "minimum": 2}]},
            "Received: minimum=2, by_class=None.",
        ),
        ({"metrics": ["ap90x"]}, "Did you mean 'ap90'?"),
        (
            {"train": {"stages": [{"epochs": 1, "outputs": [0]}, {}]}},
            "train.stages[0]: outputs are",
        ),
        ({"train": {"rate_factors": {"head*": 0.1}}}, "`head*` matches no layer with weights"),
        ({"data": {"ignore_label": 255}}, "ignore_label"),
    ],
)
def test_wrong_settings_end_before_data_is_opened(sections, message, tmp_path, capsys):
    config = write_config(tmp_path / "c.yaml", tmp_path / "absent", **sections)
    assert train("--config", config, "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert message in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_that_no_training_image_has_is_named(part, tmp_path):
    parts = {"train": [[CAT]] * 4, "val": [[CAT]], part: [[CAT, DOG]]}
    found = prepared(write_parts(tmp_path / "data", **parts), tmp_path)[1]
    assert any("no image of train holds the class 'dog'" in note for note in found.notes)
    problems = [str(issue) for issue in found.scan.warnings]
    assert any(
        f"the class 'dog' (1) stands in boxes of {part}, and in none of train" in text
        and "It cannot be learnt: add samples of it to train" in text
        for text in problems
    )


def test_names_that_differ_between_parts_are_two_classes_and_said(tmp_path):
    parts = {"train": [[CAT, DOG]] * 4, "val": [[(*CAT[:4], "Cat"), DOG]]}
    found = prepared(write_parts(tmp_path / "data", **parts), tmp_path)[1]
    assert found.class_names == ["Cat", "cat", "dog"]
    problems = [str(issue) for issue in found.scan.warnings]
    assert any("'Cat' and 'cat' are two classes" in text for text in problems)


def test_no_box_at_all_in_a_split(tmp_path):
    task = Detection()
    config, found = prepared(write_parts(tmp_path / "t", train=[[]] * 4, val=[[CAT]]), tmp_path)
    with pytest.raises(
        InputError, match=r"1 box .*: no image of train has a box, so there is noth"
    ):
        task.settle(config, found, None)
    config, found = prepared(write_parts(tmp_path / "v", train=[[CAT]] * 4, val=[[]] * 2), tmp_path)
    notes = task.settle(config, found, None).prepared.notes
    assert any("no image of val has a box, so no epoch can be scored" in note for note in notes)
    with pytest.raises(InputError, match="no image has a box"):
        prepared(write_parts(tmp_path / "none", train=[[]] * 3, val=[[]]), tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../../../../etc/passwd", "/etc/shadow.png", r"C:\x\y.png", "http://a.b/c.png", "tr\0n1.png"],
)
def test_paths_that_lead_elsewhere_are_rows_without_an_image(name, tmp_path):
    root = write_parts(tmp_path / "data", train=[[CAT]] * 3, val=[[CAT]])
    with (root / "train.csv").open("a") as file:
        file.write(f"\n{name},5,5,25,25,cat")
    with pytest.raises(InputError, match=r"line 5 of train\.csv.*no such image, and 1 row of it"):
        prepared(root, tmp_path)


def test_what_a_segmentation_does_not_take(whole, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "photos" / "a.png")
    for argv, message in (
        (["predict", whole, tmp_path / "photos", "--threshold", "0.5"], "--threshold is for boxes"),
        (["submit", whole, "--format", "boxes"], "boxes"),
    ):
        out = tmp_path / "out.csv" if argv[0] == "submit" else tmp_path / "out"
        assert runs.use(*argv, "--out", out) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()


def batches(counts, size=(32, 48)):
    """Training batches of images with so many boxes each, through the pipeline."""
    rng = np.random.default_rng(0)
    most = max(1, *counts)
    boxes, classes = [], []
    for count in counts:
        corner = rng.uniform(0, 20, (count, 2))
        own = np.concatenate([corner, corner + rng.uniform(2, 12, (count, 2))], 1)
        boxes.append(np.pad(own, ((0, most - count), (0, 0))).astype(np.float32))
        kinds = rng.integers(0, K, count)
        classes.append(np.pad(kinds, (0, most - count), constant_values=-1).astype(np.int32))
    samples = Samples(
        [str(i) for i in range(len(counts))],
        rng.integers(0, 255, (len(counts), *size, 1), dtype=np.uint8),
        1 / 255,
        {"boxes": np.stack(boxes), "classes": np.stack(classes)},
    )
    return training_batches(samples, batch_size=len(counts), seed=0)


@pytest.mark.parametrize("name", ["faster_rcnn", "retinanet", "ssd"])
def test_any_number_of_boxes_in_every_position_gives_finite_losses(name):
    """300 in one image, none in the first, the middle, the last, or in all of them."""
    arguments = TINY if name == "faster_rcnn" else {"backbone": TINY["backbone"], "levels": [3]}
    arguments = {**arguments, "extras": [[8, 2]]} if name == "ssd" else arguments
    model = DETECTORS[name]((None, None, 1), K, **arguments)
    terms = [DETECTION_LOSSES.build(Spec(name=n)) for n in ("cross_entropy", "smooth_l1", "giou")]
    for counts in ((0, 300, 1, 2), (2, 0, 3, 1), (1, 300, 2, 0), (0, 0, 0, 0)):
        batch = next(iter(batches(counts)))
        with tf.GradientTape() as tape:
            heads = model.training_outputs(batch, True)
            found = [term(matched) for matched in heads.values() for term in terms]
            loss = tf.reduce_sum(tf.add_n(found))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        assert np.isfinite(loss)
        assert all(np.isfinite(g).all() for g in gradients if g is not None)
        assert float(loss) > 0
