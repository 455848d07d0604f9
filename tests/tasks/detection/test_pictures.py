"""What `predict` leaves of a detection: files of all boxes, pictures of those that count."""

import csv
import json
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.report.detection_example import CAT, DOG
from tests.support.detections import answer
from tfvision.engine.shards import Shards
from tfvision.errors import InputError
from tfvision.recipe.read import Native
from tfvision.report.overlay import palette
from tfvision.runs.predict import Predictions, StoredPredictions
from tfvision.tasks.detection import writing

NAMES = ["cat", "dog"]
COLOURS = [tuple(colour) for colour in palette(3)[1:].tolist()]


@dataclass
class Given:
    """Predictions that are there, (image, answer) each."""

    pairs: list
    said: list[str] = field(default_factory=list)

    def with_images(self):
        return iter(self.pairs)

    def say(self, text):
        self.said.append(text)


def grey(height: int = 400, width: int = 400) -> Native:
    return Native(np.full((height, width, 1), 128, np.uint8), 1 / 255)


def write(tmp_path, pairs, ids=None, threshold=0.5):
    given = Given(pairs)
    ids = [f"img_{i}" for i in range(len(pairs))] if ids is None else ids
    path = writing.write_with_pictures(
        tmp_path / "predictions", ids, given, NAMES, threshold=threshold
    )
    assert path == tmp_path / "predictions.json"
    return given


def index_of(folder) -> list[dict[str, str]]:
    with open(folder / "pictures" / "index.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_picture_has_the_colour_of_a_class_where_its_box_lies(tmp_path):
    box, faint = (100, 120, 200, 260), (250, 50, 350, 150)
    write(tmp_path, [(grey(), answer((1, 0.9, box), (0, 0.4, faint)))])
    with Image.open(tmp_path / "pictures" / "img_0.png") as image:
        pixels = np.asarray(image)
    x1, y1, x2, y2 = box
    assert pixels.shape == (400, 400, 3)
    for place in ((y1 + 70, x1), (y1 + 70, x2 - 1), (y2 - 1, x1 + 50)):
        assert tuple(pixels[place]) == COLOURS[1]
    assert tuple(pixels[y1 + 70, x1 + 50]) == (128, 128, 128)
    assert not (pixels == COLOURS[0]).all(axis=-1).any()  # 0.4 does not reach the threshold
    (row,) = index_of(tmp_path)
    assert row == {"id": "img_0", "file": "img_0.png", "boxes": "1"}
    (entry,) = json.loads((tmp_path / "predictions.json").read_text())
    assert entry["labels"] == ["dog", "cat"]  # programs get all
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 3


def test_a_score_on_the_threshold_is_drawn(tmp_path):
    score = np.float32(0.7)
    write(tmp_path, [(grey(), answer((0, score, CAT)))], threshold=float(score))
    assert index_of(tmp_path)[0]["boxes"] == "1"


def test_large_pictures_are_jpeg(tmp_path):
    write(tmp_path, [(grey(1100, 1000), answer((0, 0.9, DOG))), (grey(), answer())])
    assert [row["file"] for row in index_of(tmp_path)] == ["img_0.jpg", "img_1.png"]
    with Image.open(tmp_path / "pictures" / "img_0.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (1000, 1100))


def test_ids_become_names_of_files_that_do_not_collide(tmp_path):
    ids = ["a/b", "a b", "A_B", "../x", "", "blå.jpg"]
    write(tmp_path, [(grey(8, 8), answer())] * 6, ids)
    files = [row["file"] for row in index_of(tmp_path)]
    assert files == ["a_b.png", "a_b_2.png", "A_B_3.png", "_x.png", "image.png", "blå.jpg.png"]
    found = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert found == {*files, "index.csv"}
    assert [row["id"] for row in index_of(tmp_path)] == ids


def test_no_more_pictures_than_a_person_looks_at(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "MOST_PICTURES", 2)
    given = write(tmp_path, [(grey(8, 8), answer())] * 5)
    assert len(index_of(tmp_path)) == 2
    assert given.said == [f"{tmp_path / 'pictures'} has the first 2 of 5 images"]
    assert len(json.loads((tmp_path / "predictions.json").read_text())) == 5


def test_an_image_that_is_read_in_windows_is_not_drawn(tmp_path):
    windows = Native(SimpleNamespace(shape=(90_000, 90_000, 3)), 1 / 255)
    given = write(tmp_path, [(windows, answer((0, 0.9, CAT))), (grey(8, 8), answer())])
    assert [row["id"] for row in index_of(tmp_path)] == ["img_1"]
    assert given.said == [f"{tmp_path / 'pictures'} has those that fit of 2 images"]


def test_earlier_pictures_are_replaced_and_other_folders_are_not(tmp_path):
    write(tmp_path, [(grey(8, 8), answer())], ["old"])
    write(tmp_path, [(grey(8, 8), answer())], ["new"])
    found = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert found == {"new.png", "index.csv"}
    other = tmp_path / "holiday"
    (other / "pictures").mkdir(parents=True)
    (other / "pictures" / "beach.jpg").write_text("mine")
    with pytest.raises(InputError, match="is not a folder that predict has written"):
        write(other, [(grey(8, 8), answer())])
    assert (other / "pictures" / "beach.jpg").read_text() == "mine"


def test_a_failure_leaves_what_was_there(tmp_path):
    write(tmp_path, [(grey(8, 8), answer())], ["old"])

    class Broken(Given):
        def with_images(self):
            yield grey(8, 8), answer()
            raise InputError("no second image")

    with pytest.raises(InputError, match="no second image"):
        writing.write_with_pictures(
            tmp_path / "predictions", ["a", "b"], Broken([]), NAMES, threshold=0.5
        )
    assert [row["id"] for row in index_of(tmp_path)] == ["old"]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("pictures", "predictions.json", "predictions.csv")
    }


class Levels:
    """A task whose answer is the grey level of an image; two images at a time."""

    def answers(self, recipe, predictor, samples, *, counter=None):
        batch = []
        for sample in samples:
            batch.append(sample)
            if len(batch) == 2:
                yield from (int(one.image[0, 0, 0]) for one in batch)
                batch = []
        yield from (int(one.image[0, 0, 0]) for one in batch)

    def decode(self, recipe, prediction):
        return int(prediction["level"][0])


class Held(Predictions):
    """Predictions of images 0, 1, 2, ..., that counts how many are read."""

    def _samples(self, positions):
        for place in positions:
            self.counter["read"] += 1
            yield Native(np.full((2, 2, 1), self.indices[place], np.uint8), 1.0)


def loaded():
    return SimpleNamespace(task=Levels(), recipe=None, predictor=None)


def test_images_come_with_their_own_answers_and_only_a_batch_ahead():
    predictions = Held(loaded(), None, list(range(5)))
    for number, (sample, level) in enumerate(predictions.with_images()):
        assert sample.image[0, 0, 0] == level == number
        assert predictions.counter["read"] <= number + 2
    assert number == 4


def test_stored_predictions_read_the_images_again(tmp_path):
    made = Held(loaded(), None, list(range(3)))
    rows = [{"level": np.array([k], np.int32)} for k in range(3)]
    store = Shards.create(
        tmp_path / "store",
        ids=["a", "b", "c"],
        class_names=NAMES,
        origin={},
        per_shard=2,
        arrays=("level",),
    )
    for positions in store.missing():
        store.write_predictions(positions, [rows[p] for p in positions])
    stored = StoredPredictions(loaded(), Shards.open(store.folder), made)
    pairs = list(stored.with_images())
    assert [(int(sample.image[0, 0, 0]), level) for sample, level in pairs] == [
        *((0, 0), (1, 1), (2, 2))
    ]
    assert made.counter == Counter(read=3)
