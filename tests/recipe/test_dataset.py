"""Splits, exclude lists and pixel scales of whole runs."""

import csv
import hashlib

import numpy as np
import pytest
from PIL import Image

from tests.support import runs
from tfvision.config import DataConfig
from tfvision.errors import InputError
from tfvision.recipe.dataset import prepare
from tfvision.recipe.read import decode
from tfvision.registry import Spec


@pytest.fixture(scope="module")
def without_val(tmp_path_factory):
    """A run with a split of its own, which has no val, and an exclude list."""
    folder = tmp_path_factory.mktemp("without-val")
    images, masks = runs.arrays(12)
    np.savez(folder / "set.npz", images=images, masks=masks)
    rows = [f"{i},{'train' if i < 8 else 'test'}\n" for i in range(12)]
    (folder / "splits.csv").write_text("id,split\n" + "".join(rows))
    (folder / "exclude.csv").write_text("id,reason,evidence\n2,blurred,\n9,double,of 3\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        patch.setattr("tfvision.runs.finish.export_run", lambda *args, **options: [])
        return runs.new_run(
            folder / "run",
            folder / "set.npz",
            data={
                "splits": str(folder / "splits.csv"),
                "exclude": str(folder / "exclude.csv"),
            },
        )


def test_without_a_validation_split_the_last_weights_are_the_runs(without_val):
    summary = runs.summary(without_val)
    assert set(summary["metrics"]) == {"test"}
    assert summary["best_epoch"] == summary["epochs"] == 2
    assert not any(key.startswith("val") for row in runs.history(without_val) for key in row)
    assert "There is no validation split" in (without_val / "report.html").read_text()


def test_excluded_ids_are_left_out_and_the_list_is_on_record(without_val):
    record = runs.data(without_val)
    assert record["excluded"] == ["2", "9"]
    content = (without_val.parent / "exclude.csv").read_bytes()
    assert record["exclude_sha256"] == hashlib.sha256(content).hexdigest()
    assert record["splits"] == {"train": list("0134567"), "val": [], "test": ["8", "10", "11"]}
    assert list(runs.labels(without_val / "predictions/test.npz")) == ["8", "10", "11"]
    with open(without_val / "splits.csv", newline="") as file:
        left_out = [row["id"] for row in csv.DictReader(file) if not row["split"]]
    assert left_out == ["2", "9"]


def test_resume_refuses_a_split_file_that_has_changed(without_val, tmp_path, capsys):
    given = without_val.parent / "splits.csv"
    (tmp_path / "splits.csv").write_text(given.read_text().replace("11,test", "11,train"))
    run = runs.copy(without_val, tmp_path / "run", **{str(given): str(tmp_path / "splits.csv")})
    assert runs.train("--resume", run) == 2
    assert "1 sample is in another split: 11" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("id,reason\n7,dark\nnope,dark\n", "line 3: no sample with a mask has the id 'nope'"),
        (
            "id,reason\n7,dark\n0,dark\n",
            "line 3: id '0' stands in the parts 'train', 'val', 'test'; say which in a column part",
        ),
        ("reason\ndark\n", "exclude.csv"),
        ("id,part\n" + "".join(f"{i},train\n" for i in range(10)), "No labelled sample is left"),
    ],
    ids=["unknown", "ambiguous", "no-id", "everything"],
)
def test_an_exclude_list_that_cannot_be_followed_is_an_error_with_its_line(
    dataset, tmp_path, capsys, rows, message
):
    (tmp_path / "exclude.csv").write_text(rows)
    config = runs.write_config(
        tmp_path / "c.yaml", dataset, data={"exclude": str(tmp_path / "exclude.csv")}
    )
    assert runs.train("--config", config, "--dry-run") == 2
    assert message in capsys.readouterr().err


def test_an_exclude_list_names_the_part_where_ids_are_not_unique(dataset, tmp_path):
    (tmp_path / "exclude.csv").write_text("id,reason,part\n0,dark,val\n9,dark,\n")
    config = DataConfig(
        source=Spec(name="npz", path=str(dataset)), exclude=tmp_path / "exclude.csv"
    )
    record = prepare(config, seed=0).record()
    assert record["counts"] == {"train": 9, "val": 3, "test": 4}
    assert record["splits"]["val"] == ["1", "2", "3"]
    assert record["excluded"] == ["9", "val/0"]


def test_files_of_8_and_16_bits_are_scaled_each_by_its_own_white(tmp_path):
    data = runs.write_folder(tmp_path / "data", [(16, 16)] * 4)
    image = np.asarray(Image.open(data / "images/a.png"))
    Image.fromarray(image.astype(np.uint16) * 257).save(data / "images/a.png")
    config = DataConfig(source=Spec(name="folder", path=str(data)), val_fraction=0)
    prepared = prepare(config, seed=0)
    samples = decode(prepared, [0, 1, 2, 3])
    pixels = samples.images * samples.scale
    for i in range(4):
        np.testing.assert_allclose(pixels[i, ..., 0], runs.scene(i)[0] / 255, atol=1e-6)


def test_data_of_boxes_names_the_script_of_detections():
    message = r"that is data of the task detection, and this run is of segmentation\. Use train_det"
    with pytest.raises(InputError, match=message):
        prepare(DataConfig(source=Spec(name="embedded_boxes")), seed=0)


def test_data_of_another_task_names_its_script():
    config = DataConfig(source=Spec(name="embedded_classes"))
    message = r"data of the task classification, and .* segmentation\. Use train_cls\.py\."
    with pytest.raises(InputError, match=message):
        prepare(config, seed=0)
