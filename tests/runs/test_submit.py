"""`submit` from the command line: the rows are those of `predict`, in whatever layout."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support import runs
from tfvision.postprocess.rle import decode_rle
from tfvision.runs import finish
from tfvision.runs.submit import _by_id


@pytest.fixture(scope="module")
def mars(tmp_path_factory):
    """A run on the Mars layout: 12 labelled images, a test set of 6."""
    folder = tmp_path_factory.mktemp("mars")
    images, masks = runs.arrays(12)
    test, _ = runs.arrays(6, first=30)
    np.savez(folder / "mars.npz", training_set=np.stack([images, masks], axis=1), test_set=test)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        patch.setattr(finish, "export_run", lambda *args, **options: [])
        return runs.new_run(folder / "run", folder / "mars.npz", train={"epochs": 1})


@pytest.fixture(scope="module")
def predicted(mars):
    """id -> labels of the test set, as `predict` writes them."""
    assert runs.use("predict", mars, data_of(mars), "--out", mars.parent / "predicted") == 0
    return runs.labels(mars.parent / "predicted/predictions.npz")


def data_of(mars):
    return mars.parent / "mars.npz"


def submit(mars, out, *flags, input=None):
    return runs.use("submit", mars, input or data_of(mars), "--out", out, *flags)


def cells(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_mars_has_a_row_an_image_and_a_column_a_pixel(mars, predicted, tmp_path, capsys):
    out = tmp_path / "new" / "s.csv"
    assert submit(mars, out, "--format", "mars", "--json") == 0
    said = capsys.readouterr()
    summary = json.loads(said.out.splitlines()[-1])
    assert summary["file"] == str(out)
    assert (summary["rows"], summary["images"], summary["format"]) == (6, 6, "mars")
    assert summary["bytes"] == out.stat().st_size
    assert "6 rows of 6 images" in said.err
    rows = cells(out)
    assert rows[0] == ["id", *map(str, range(256))]
    assert [row[0] for row in rows[1:]] == [str(i) for i in range(6)]
    found = np.array([row[1:] for row in rows[1:]], int)
    np.testing.assert_array_equal(found, np.stack(list(predicted.values())).reshape(6, -1))


def test_names_of_images_keep_the_order_of_the_data_and_numbers_are_counted():
    names = ["test_2", "10", "test_10", "9", "test_1"]
    records = [SimpleNamespace(id=name, place=f"{name}.png") for name in names]
    source = SimpleNamespace(coco_ids=None, records=records)
    assert _by_id(source, [0, 1, 2, 3, 4]) == [3, 1, 0, 2, 4]


def test_rows_follow_the_sample(mars, predicted, tmp_path):
    sample = tmp_path / "sample.csv"
    header = "id," + ",".join(map(str, range(256)))
    zeros = ",0" * 256
    sample.write_text("\n".join([header, *(f"{i}{zeros}" for i in (3, 0, 5, 1, 2, 4))]) + "\n")
    out = tmp_path / "s.csv"
    assert submit(mars, out, "--format", "mars", "--sample", sample) == 0
    rows = cells(out)[1:]
    assert [row[0] for row in rows] == ["3", "0", "5", "1", "2", "4"]
    for row in rows:
        np.testing.assert_array_equal(np.array(row[1:], int), predicted[row[0]].ravel())


def test_runs_class_by_class_as_the_sample_has_them(mars, predicted, tmp_path):
    sample = tmp_path / "sample.csv"
    ids = [f"{i}.png_{k}" for k in (2, 1) for i in (5, 3, 4, 0, 1, 2)]
    sample.write_text("Image,Code\n" + "".join(f"{name},\n" for name in ids))
    flags = ["--format", "rle", "--rows", "class", "--classes", "1,2", "--id-suffix", ".png"]
    flags += ["--columns", "Image,Code", "--rle-order", "row", "--rle-base", 0, "--sample", sample]
    out = tmp_path / "s.csv"
    assert submit(mars, out, *flags) == 0
    rows = cells(out)
    assert [row[0] for row in rows] == ["Image", *ids]
    for name, code in rows[1:]:
        i, k = name.split(".png_")
        mask = decode_rle(code, (16, 16), order="row", base=0)
        np.testing.assert_array_equal(mask, predicted[i] == int(k))


def test_without_classes_all_but_the_first_are_coded(mars, predicted, tmp_path):
    assert submit(mars, tmp_path / "s.csv", "--format", "rle") == 0
    for name, code in cells(tmp_path / "s.csv")[1:]:
        np.testing.assert_array_equal(decode_rle(code, (16, 16)), predicted[name] > 0)


def test_an_image_is_called_by_its_most_frequent_class(mars, predicted, tmp_path):
    flags = ["--format", "labels", "--columns", "Id,Category", "--class-as", "name"]
    assert submit(mars, tmp_path / "s.csv", *flags, "--id-suffix", ".jpg") == 0
    names = runs.data(mars)["class_names"]
    want = [[f"{i}.jpg", names[np.bincount(m.ravel()).argmax()]] for i, m in predicted.items()]
    assert cells(tmp_path / "s.csv") == [["Id", "Category"], *want]


def test_a_sample_of_other_images_is_refused_and_nothing_is_written(mars, tmp_path, capsys):
    sample, out = tmp_path / "sample.csv", tmp_path / "s.csv"
    sample.write_text("id,rle\n" + "".join(f"{i},\n" for i in range(1, 8)))
    assert submit(mars, out, "--format", "rle", "--sample", sample) == 2
    said = capsys.readouterr().err
    assert "2 ids of the sample, not of the input: 6, 7" in said
    assert "1 id of the input only: 0" in said
    assert "nothing was written" in said
    sample.write_text("id,0,1\n0,0,0\n")
    assert submit(mars, out, "--format", "mars", "--sample", sample) == 2
    assert "the header has 3 columns (id, 0, 1), what would be written has 257" in (
        capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == [sample]


def test_images_of_several_sizes_are_coded_each_at_its_own(mars, tmp_path, capsys):
    data = runs.write_folder(tmp_path / "data", [(16, 16), (20, 14), (16, 16)]) / "images"
    assert runs.use("predict", mars, data, "--out", tmp_path) == 0
    found = runs.labels(tmp_path / "predictions")
    assert submit(mars, tmp_path / "s.csv", "--format", "rle", input=data) == 0
    rows = cells(tmp_path / "s.csv")[1:]
    assert [row[0] for row in rows] == list("abc")
    for name, code in rows:
        np.testing.assert_array_equal(decode_rle(code, found[name].shape), found[name] > 0)
    capsys.readouterr()
    assert submit(mars, tmp_path / "m.csv", "--format", "mars", input=data) == 2
    assert "Image 1 is 20x14, those before it are 16x16" in capsys.readouterr().err
    assert not (tmp_path / "m.csv").exists()


def test_a_damaged_image_ends_it_with_its_name(mars, tmp_path, capsys):
    data = runs.write_folder(tmp_path / "data", [(16, 16)] * 3) / "images"
    (data / "b.png").write_bytes((data / "b.png").read_bytes()[:60])
    out = tmp_path / "s.csv"
    out.write_text("old")
    assert submit(mars, out, "--format", "rle", input=data) == 2
    assert "b.png" in capsys.readouterr().err
    assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--format", "rle", "--classes", "3"], "the run has the labels 0 to 2 ("),
        (["--format", "mars", "--rle-base", "0"], "--rle-base means nothing for --format mars"),
        (["--format", "mars", "--sample", "no.csv"], "--sample no.csv: there is no such file"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_predicted(
    mars, tmp_path, capsys, flags, message
):
    assert submit(mars, tmp_path / "s.csv", *flags) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_constant_prediction_is_warned_of(mars, tmp_path, capsys):
    images = np.stack([runs.arrays(1)[0][0]] * 3)
    np.savez(tmp_path / "same.npz", images=images)
    flags = ["--format", "mars", "--json"]
    code = submit(mars, tmp_path / "s.csv", *flags, input=tmp_path / "same.npz")
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "warning: constant prediction: all 3 rows say the same" in said.err
    assert len(json.loads(said.out.splitlines()[-1])["warnings"]) == 1
