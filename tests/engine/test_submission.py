"""Submission files: rows against plain Python, planted faults, memory, half-written files."""

import csv
import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfvision.engine.submission import write as write_module
from tfvision.engine.submission.check import check_sample, check_submission
from tfvision.engine.submission.layouts import ImageLabels, Pixels, Runs
from tfvision.engine.submission.options import make_options
from tfvision.engine.submission.write import write_submission
from tfvision.errors import EnvironmentFault, InputError
from tfvision.postprocess.rle import decode_rle

ROOT = Path(__file__).parents[2]
SHAPE = (3, 4)


def labels(count, num_classes=5, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, num_classes, (count, *shape)).astype(np.uint8)


def named(arrays, prefix=""):
    return [(f"{prefix}{i}", array) for i, array in enumerate(arrays)]


def write(path, layout, images, keys=None):
    keys = keys or [key for name, _ in images for key in layout.keys(name)]
    return write_submission(path, layout, iter(images), keys=keys)


def cells(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


# Rows


@pytest.mark.parametrize("num_classes", [2, 10, 11, 101, 256])
def test_a_row_of_pixels_is_what_plain_python_joins(tmp_path, num_classes):
    arrays = labels(40, num_classes)
    arrays[0].flat[:3] = [0, num_classes - 1, min(num_classes - 1, 10)]
    checked = write(tmp_path / "s.csv", Pixels(SHAPE, num_classes), named(arrays))
    lines = [",".join(map(str, [i, *array.ravel().tolist()])) for i, array in enumerate(arrays)]
    header = "id," + ",".join(map(str, range(12)))
    assert (tmp_path / "s.csv").read_text() == "\n".join([header, *lines]) + "\n"
    assert checked.rows == 40
    assert checked.num_bytes == (tmp_path / "s.csv").stat().st_size
    assert checked.warnings == []


@pytest.mark.parametrize(("order", "base"), [("column", 1), ("row", 0)])
@pytest.mark.parametrize("columns", [("key", "runs"), ("key", "class", "runs")])
def test_rows_of_runs_decode_to_the_labels(tmp_path, order, base, columns):
    arrays = labels(6, 3)
    arrays[1][arrays[1] == 2] = 0
    layout = Runs([1, 2], True, ["no", "one", "two, or so"], columns, order, base, "none")
    write(tmp_path / "s.csv", layout, named(arrays, 'a "b",c/'))
    rows = cells(tmp_path / "s.csv")
    assert rows[0] == list(columns)
    assert len(rows) == 1 + 6 * 2
    for place, row in enumerate(rows[1:]):
        i, name = place // 2, ("one", "two, or so")[place % 2]
        front = [f'a "b",c/{i}_{name}'] if len(columns) == 2 else [f'a "b",c/{i}', name]
        assert row[:-1] == front
        code = "" if row[-1] == "none" else row[-1]
        mask = decode_rle(code, SHAPE, order=order, base=base)
        np.testing.assert_array_equal(mask, arrays[i] == place % 2 + 1)
    assert rows[4][-1] == "none"


def test_one_row_an_image_codes_the_chosen_classes_together(tmp_path):
    arrays = labels(5)
    write(tmp_path / "s.csv", Runs([1, 4]), named(arrays))
    for row, array in zip(cells(tmp_path / "s.csv")[1:], arrays, strict=True):
        np.testing.assert_array_equal(decode_rle(row[1], SHAPE), (array == 1) | (array == 4))


def test_a_label_an_image_is_the_most_frequent_and_the_lowest_of_equals(tmp_path):
    images = [("a.jpg", np.array([[1, 2], [2, 0]])), ("b.jpg", np.array([[3, 1]])), ("c.jpg", 2)]
    layout = ImageLabels(4, columns=("Id", "Category"))
    write(tmp_path / "s.csv", layout, images)
    assert (tmp_path / "s.csv").read_text() == "Id,Category\na.jpg,2\nb.jpg,1\nc.jpg,2\n"
    names = ImageLabels(4, ["w", "x", "y", "z"], ("Id", "Category"))
    write(tmp_path / "s.csv", names, images)
    assert [row[1] for row in cells(tmp_path / "s.csv")[1:]] == ["y", "x", "y"]


def test_images_of_other_sizes_fit_runs_but_no_columns_of_pixels(tmp_path):
    images = [*named(labels(2)), ("last", labels(1, shape=(4, 4))[0])]
    with pytest.raises(InputError, match=r"Image last is 4x4, those before it are 3x4.*format rle"):
        write(tmp_path / "s.csv", Pixels(SHAPE, 5), images)
    assert list(tmp_path.iterdir()) == []
    assert write(tmp_path / "s.csv", Runs([1]), images).rows == 3


# The sample's order


def test_rows_stand_in_the_order_that_is_asked_for(tmp_path):
    arrays = labels(4, 3)
    layout = Runs([1, 2], per_class=True)
    ordered = [f"{i}_{k}" for k in (2, 1) for i in (2, 0, 3, 1)]  # class by class
    write(tmp_path / "s.csv", layout, named(arrays), ordered)
    rows = cells(tmp_path / "s.csv")[1:]
    assert [row[0] for row in rows] == ordered
    for name, code in rows:
        i, k = map(int, name.split("_"))
        np.testing.assert_array_equal(decode_rle(code, SHAPE), arrays[i] == k)


def test_a_row_is_never_left_out(tmp_path):
    layout = ImageLabels(3)
    with pytest.raises(InputError, match=r"2 of 4 rows could be written.*next row should be 2"):
        write(tmp_path / "s.csv", layout, [("0", 1), ("1", 1)], ["0", "1", "2", "3"])
    with pytest.raises(InputError, match="1 of 1 rows could be written, 1 are left over"):
        write(tmp_path / "s.csv", layout, [("0", 1), ("1", 1)], ["0"])
    assert list(tmp_path.iterdir()) == []


# Half-written files


@pytest.mark.parametrize("fault", ["prediction", "disk", "content"])
def test_what_goes_wrong_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, fault):
    path = tmp_path / "s.csv"
    path.write_text("old")
    images, error = named(labels(4)), InputError

    def stream():
        yield from images
        if fault == "prediction":
            raise InputError("images/9.png is damaged")

    if fault == "disk":
        error = EnvironmentFault

        def full(_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(write_module.os, "fsync", full)
    if fault == "content":
        images[2][1][0, 0] = 5  # there are the classes 0 to 4
    message = {
        "prediction": "9.png is damaged",
        "disk": "No space left on device.*untouched",
        "content": "line 4, 2: the label 5 is none of 0 to 4",
    }
    with pytest.raises(error, match=message[fault]):
        write_submission(path, Pixels(SHAPE, 5), stream(), keys=list("0123"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# The checker


GOOD = {
    "mars": (Pixels((1, 3), 5), "id,0,1,2\n", ["0,1,2,3", "1,4,0,0", "2,0,0,1"]),
    "rle": (Runs([1]), "id,rle\n", ["0,1 2", "1,", "2,2 2"]),
    "labels": (ImageLabels(5), "id,label\n", ["0,1", "1,4", "2,0"]),
}


def check(tmp_path, name, lines, header=None, **options):
    layout, own, _ = GOOD[name]
    path = tmp_path / f"{name}.csv"
    path.write_text((own if header is None else header) + "".join(f"{line}\n" for line in lines))
    sizes = {str(i): (1, 3) for i in range(3)}
    return check_submission(path, layout, sizes=sizes, **options)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_passes_with_windows_line_ends_too(tmp_path, name):
    lines = GOOD[name][2]
    assert check(tmp_path, name, lines).rows == 3
    assert check(tmp_path, name, lines, keys=["0", "1", "2"]).warnings == []
    assert check(tmp_path, name, [f"{line}\r" for line in lines], keys=["0", "1", "2"]).rows == 3


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([0, 2], "1 id missing: 1"),
        ([0, 1, 2, 1], "1 id twice or more: 1"),
        ([0, 2, 1], "the rows are in another order: row 2 is 2, not 1"),
    ],
)
def test_ids_that_differ_are_named(tmp_path, name, order, message):
    lines = [GOOD[name][2][i] for i in order]
    with pytest.raises(InputError, match=message):
        check(tmp_path, name, lines, keys=["0", "1", "2"])


def test_extra_ids_and_only_twenty_of_many_are_shown(tmp_path):
    with pytest.raises(InputError, match=r"40 ids not expected: 3, .*, 22, [.]{3}"):
        check(tmp_path, "labels", [f"{i},1" for i in range(43)], keys=["0", "1", "2"])
    with pytest.raises(InputError, match="there is no row"):
        check(tmp_path, "labels", [])


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("mars", "1,4,0", "line 3, 1: 2 values for 3 pixels"),
        ("mars", "1,4,0,0,0", "4 values for 3 pixels"),
        ("mars", "1,3.0,0,0", "a value is '3.0', labels are whole numbers"),
        ("mars", "1,-1,0,0", "a value is '-1'"),
        ("mars", "1,nan,0,0", "a value is 'nan'"),
        ("mars", "1,,0,0", "a value is empty"),
        ("mars", "1,0,0,5", "the label 5 is none of 0 to 4"),
        ("mars", "1,0,12,0", "the label 12 is none of 0 to 4"),
        ("mars", "1,0,1234,0", "a label has more than three digits"),
        ("rle", "1,1 2 3", "pairs of start and length; found 3 numbers"),
        ("rle", "1,3 1 1 1", "must ascend and not overlap"),
        ("rle", "1,2 3", "the last run ends at pixel 4 of 3"),
        ("rle", "1,0 1", "a run starts at 0"),
        ("rle", "1,1 2,3", "3 cells for 2 columns"),
        ("labels", "1,5", "'5' is no class; 0 to 4 are"),
        ("labels", "1,2.0", "'2.0' is no class"),
        ("labels", "1,", "'' is no class"),
        ("labels", "1", "1 cells for 2 columns"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, name, line, message):
    lines = list(GOOD[name][2])
    lines[1] = line
    with pytest.raises(InputError, match=re.escape(message)):
        check(tmp_path, name, lines)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Id,label\n", "column 1 is 'Id', in the layout it is 'id'"),
        ("label,id\n", "column 1 is 'label'"),
        ("id,label,x\n", "3 columns (id, label, x), the layout has 2 (id, label)"),
        ("\ufeffid,label\n", "byte order mark"),
        ("\n", "is empty"),
    ],
)
def test_a_wrong_header_is_said(tmp_path, header, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check(tmp_path, "labels", ["0,1"], header=header)


def test_another_text_for_no_pixel_is_no_code(tmp_path):
    (tmp_path / "s.csv").write_text("id,rle\na,\nb,-1\n")
    with pytest.raises(InputError, match=r"line 3, b: .*whole numbers; found '-1'"):
        check_submission(tmp_path / "s.csv", Runs([1]))
    with pytest.raises(InputError, match="line 2, a: the code is empty; no pixel is written as"):
        check_submission(tmp_path / "s.csv", Runs([1], empty="-1"))


@pytest.mark.parametrize(("name", "line"), [("mars", "3,3,0"), ("rle", "1 2"), ("labels", "4")])
def test_a_constant_prediction_is_warned_of(tmp_path, name, line):
    lines = [f"{i},{line}" for i in range(3)]
    (warning,) = check(tmp_path, name, lines).warnings
    assert warning.startswith("constant prediction: all 3 rows say the same")
    assert check(tmp_path, name, lines[:1]).warnings == []


def test_a_file_is_compared_with_the_sample(tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_text("\ufeffid,label\r\n2,0\r\n0,0\r\n1,0\r\n", encoding="utf-8")
    lines = GOOD["labels"][2]
    assert check(tmp_path, "labels", [lines[i] for i in (2, 0, 1)], sample=sample).rows == 3
    with pytest.raises(InputError, match="row 1 is 0, not 2"):
        check(tmp_path, "labels", lines, sample=sample)
    sample.write_text("Id,label\n0,0\n")
    with pytest.raises(InputError, match=r"column 1 is 'id', in the sample .* it is 'Id'"):
        check(tmp_path, "labels", lines, sample=sample)


def test_a_sample_must_have_the_ids_of_the_input(tmp_path):
    sample, layout = tmp_path / "sample.csv", ImageLabels(5)
    sample.write_text("id,label\nb,0\na,0\n")
    assert check_sample(sample, layout, ["a", "b"]) == ["b", "a"]
    with pytest.raises(InputError, match=r"1 id of the sample, not of the input: b\n.*only: c"):
        check_sample(sample, layout, ["a", "c"])
    sample.write_text("Id,label\nb,0\n")
    with pytest.raises(InputError, match="Set --format, --columns and --rows as the sample"):
        check_sample(sample, layout, ["b"])
    sample.write_text("id,label\nb,0\nb,0\n")
    with pytest.raises(InputError, match="1 id twice or more: b"):
        check_sample(sample, layout, ["b"])
    with pytest.raises(InputError, match="cannot be read: No such file"):
        check_sample(tmp_path / "none.csv", layout, ["b"])


# Size


MEASURE = """
import json, re, sys, time
import numpy as np
from tfvision.engine.submission.layouts import Pixels
from tfvision.engine.submission.write import write_submission
tile = np.random.default_rng(0).integers(0, 5, (64, 128)).astype(np.uint8)
layout = Pixels((64, 128), 5)
images = ((str(i), np.roll(tile, i)) for i in range(10022))
def peak():  # of this very program; ru_maxrss would begin with that of the one that started it
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
before, began = peak(), time.process_time()
checked = write_submission(sys.argv[1], layout, images, keys=[str(i) for i in range(10022)])
seconds, after = time.process_time() - began, peak()
heavy = [name for name in ("tensorflow", "keras") if name in sys.modules]
print(json.dumps([checked.rows, checked.num_bytes, after, after - before, seconds, heavy]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_the_mars_file_is_streamed(tmp_path):
    """10,022 rows of 8,193 columns, 164 MB: under 500 MB in all, and the writer itself little."""
    path = tmp_path / "s.csv"
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows, size, peak, growth, seconds, heavy = json.loads(done.stdout)
    print(f"{size / 1e6 / seconds:.0f} MB/s of CPU time, peak {peak:.0f}, growth {growth:.0f} MiB")
    assert heavy == []
    assert (rows, size) == (10022, path.stat().st_size)
    assert 164e6 < size < 165e6
    assert peak < 500
    assert growth < 50
    tile = np.random.default_rng(0).integers(0, 5, (64, 128)).astype(np.uint8)
    with open(path, "rb") as file:
        assert file.readline().count(b",") == 8192
        assert file.readline().decode().strip() == ",".join(map(str, [0, *tile.ravel().tolist()]))
        file.seek(-17000, os.SEEK_END)
        last = file.read().splitlines()[-1].decode()
    assert last == ",".join(map(str, [10021, *np.roll(tile, 10021).ravel().tolist()]))


# What may be chosen


def test_what_is_not_chosen_is_the_convention(tmp_path):
    options = make_options("rle", tmp_path / "s.csv", given={"columns": None, "classes": "2, 1"})
    assert (options.columns, options.classes) == (("id", "rle"), (2, 1))
    assert (options.rle_order, options.rle_base, options.rle_empty) == ("column", 1, "")
    assert make_options("mars", tmp_path / "s.csv").columns == ("id",)
    three = make_options("rle", tmp_path / "s.csv", given={"rows": "class", "columns": "a,b,c"})
    assert three.columns == ("a", "b", "c")


@pytest.mark.parametrize(
    ("format", "given", "message"),
    [
        ("mars", {"rle_order": "row"}, "--rle-order means nothing for --format mars; .* for rle"),
        ("mars", {"id_suffix": ".png"}, "--id-suffix means nothing for --format mars"),
        ("labels", {"rows": "class"}, "--rows means nothing for --format labels"),
        ("labels", {"columns": "id"}, r"must name 2 different column.*Received: 'id'"),
        ("labels", {"columns": "id,id"}, "must name 2 different column"),
        ("mars", {"columns": "id,x"}, "must name 1 different column"),
        ("rle", {"columns": "a,b,c"}, "must name 2 different column"),
        ("rle", {"columns": "a,b,c,d", "rows": "class"}, "must name 2 or 3 different column"),
        ("rle", {"classes": "1,x"}, "--classes must list different labels.*'1,x'"),
        ("rle", {"classes": "1,1"}, "--classes must list different labels"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, format, given, message):
    with pytest.raises(InputError, match=message):
        make_options(format, tmp_path / "s.csv", given=given)


def test_the_sample_is_never_overwritten(tmp_path):
    sample = tmp_path / "sample.csv"
    with pytest.raises(InputError, match=r"--sample .*sample.csv: there is no such file"):
        make_options("mars", tmp_path / "s.csv", sample)
    sample.write_text("x")
    with pytest.raises(InputError, match="are the same file"):
        make_options("mars", sample, sample)
    with pytest.raises(InputError, match="is a folder; name the file"):
        make_options("mars", tmp_path)
