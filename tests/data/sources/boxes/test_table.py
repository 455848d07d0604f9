"""Tables of boxes: columns by name and by place, lists in a cell, units, splits, faults of rows."""

import itertools
from pathlib import Path

import pytest

from tests.data.make import image, save
from tests.data.sources.boxes.made import (
    HEIGHT,
    LABELS,
    WIDTH,
    Box,
    Scenes,
    boxes_of,
    errors,
    said,
    same,
    save_images,
    scaled,
    scenes,
    size_of,
    write,
)
from tfvision.data.scan.scan import scan
from tfvision.data.sources.boxes.table import box_table
from tfvision.data.sources.recognise import open_source, truth_in
from tfvision.errors import InputError

MADE = scenes(24)
FULL = {name: boxes for name, boxes in MADE.items() if boxes}


def centre_of(b: Box) -> list[float]:
    x, y, w, h = size_of(b)
    return [x + w / 2, y + h / 2, w, h]


def table(root: Path, header: str, row, made: Scenes = MADE) -> Path:
    save_images(root / "images", made)
    rows = [row(name, box) for name, boxes in made.items() for box in boxes]
    return write(root / "boxes.csv", [*([header] if header else []), *rows]).parent


def joined(*cells: object) -> str:
    return ",".join(map(str, cells))


READ = {  # header, a row, and what is said
    "tensorflow": (
        "filename,width,height,class,xmin,ymin,xmax,ymax",
        lambda n, b: joined(n, WIDTH, HEIGHT, b[4], *b[:4]),
        "corners in pixels, by column names",
    ),
    "open images": (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf",
        lambda n, b: joined(
            *(n[:-4], "x", b[4], 1, b[0] / WIDTH, b[2] / WIDTH, b[1] / HEIGHT, b[3] / HEIGHT, 0, 0)
        ),
        "corners in shares, by column names",
    ),
    "wheat": (
        "image_id,width,height,bbox,class",
        lambda n, b: joined(n[:-4], WIDTH, HEIGHT, f'"{[float(s) for s in size_of(b)]}"', b[4]),
        "sizes in pixels, by column names",
    ),
    "list of corners": (
        "image,box,label",
        lambda n, b: f'{n},"({b[0]}, {b[1]}, {b[2]}, {b[3]})",{b[4]}',
        "corners in pixels, by column names",
    ),
    "numbers without commas": (
        "image,bbox,label",
        lambda n, b: f"{n},[{b[0]} {b[1]} {b[2]} {b[3]}],{b[4]}",
        "corners in pixels, by column names",
    ),
    "sizes": (
        "file,x,y,w,h,label",
        lambda n, b: joined(n, *size_of(b), b[4]),
        "sizes in pixels, by column names",
    ),
    "sizes named at length, beside those of the image": (
        "image_name,bbox_x,bbox_y,bbox_width,bbox_height,image_width,image_height,category",
        lambda n, b: joined(n, *size_of(b), WIDTH, HEIGHT, b[4]),
        "sizes in pixels, by column names",
    ),
    "as of traffic signs": (
        "Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId;Path",
        lambda n, b: ";".join(map(str, (WIDTH, HEIGHT, *b[:4], b[4], f"images/{n}"))),
        "corners in pixels, by column names",
    ),
    "sizes of objects": (
        "photo_id,object_x,object_y,object_width,object_height,width,height,class",
        lambda n, b: joined(n, *size_of(b), WIDTH, HEIGHT, b[4]),
        "sizes in pixels, by column names",
    ),
    "left and top": (
        "image,left,top,width,height,label",
        lambda n, b: joined(n, *size_of(b), b[4]),
        "sizes in pixels, by column names",
    ),
    "centres": (
        "image,x_center,y_center,width,height,label",
        lambda n, b: joined(n, *centre_of(scaled(b, 1 / WIDTH, 1 / HEIGHT)), b[4]),
        "centres in shares, by column names",
    ),
    "x0 to y1": (
        "image,x0,y0,x1,y1,label",
        lambda n, b: joined(n, *b),
        "corners in pixels, by column names",
    ),
    "ymin first": (
        "image,ymin,xmin,ymax,xmax,label",
        lambda n, b: joined(n, b[1], b[0], b[3], b[2], b[4]),
        "corners in pixels, by column names",
    ),
    "no header": ("", lambda n, b: joined(n, *b), "corners in pixels, by place"),
    "no header, sizes": (
        "",
        lambda n, b: joined(n, *size_of(b), b[4]),
        "sizes in pixels, by place",
    ),
    "no header, the label second": (
        "",
        lambda n, b: joined(n, b[4], *b[:4]),
        "corners in pixels, by place",
    ),
    "a header that says nothing": (
        "a,b,c,d,e,f",
        lambda n, b: joined(n, *b),
        "corners in pixels, by place",
    ),
    "a spreadsheet": (
        "image;xmin;ymin;xmax;ymax;label",
        lambda n, b: ";".join([n, *(f"{s:.1f}".replace(".", ",") for s in b[:4]), b[4]]),
        "corners in pixels, by column names",
    ),
}


STRINGS = {  # what stands for a box, what is said of it and of the four numbers
    "label": (lambda b: [b[4], *b[:4]], "label four numbers", "corners"),
    "label and score": (lambda b: [b[4], 0.75, *size_of(b)], "label score four numbers", "sizes"),
    "number and score": (
        lambda b: [LABELS.index(b[4]), "1.0", *size_of(b)],
        "label score four numbers",
        "sizes",
    ),
}


def strings(root: Path, words, made: Scenes, name: str = "PredictionString", empty: str = ""):
    save_images(root / "images", made)
    cells = [" ".join(str(word) for b in boxes for word in words(b)) for boxes in made.values()]
    rows = [f"{n[:-4]},{cell or empty}" for n, cell in zip(made, cells, strict=True)]
    return write(root / "train.csv", [f"image_id,{name}", *rows]).parent


@pytest.mark.parametrize("name", STRINGS)
def test_a_prediction_string_has_all_boxes_of_an_image(tmp_path, name):
    words, said_of_it, numbers = STRINGS[name]
    root = strings(tmp_path / "data", words, MADE)
    if name == "number and score":
        write(root / "classes.txt", ["ant", "bee"])
    assert truth_in(root) == "boxes"
    for source in (open_source(root, truth="boxes"), box_table(root / "train.csv")):
        assert same(source, MADE)
        assert f"{numbers} in pixels, by column names" in source.layout
        assert f"train.csv: PredictionString is {said_of_it} for each box" in said(source)
        assert ("scores are not used" in said(source)) == ("score" in said_of_it)
        assert "no column is a label" not in said(source)
    columns = {"file": "image_id", "box": "PredictionString"}
    assert same(box_table(root, columns=columns), MADE)


@pytest.mark.parametrize(
    ("name", "words", "empty"),
    [
        ("PredictionString", lambda b: [0.5, *b[:4]], ""),
        ("prediction_string", lambda b: [*b[:4]], "nan"),
        ("BoxesString", lambda b: [f"{b[0]} {b[1]} {b[2]} {b[3]};"], "no_box"),
    ],
)
def test_boxes_in_a_row_without_a_label_are_of_one_class(tmp_path, name, words, empty):
    source = open_source(strings(tmp_path / "data", words, MADE, name, empty), truth="boxes")
    assert same(source, {n: [(*b[:4], "object") for b in boxes] for n, boxes in MADE.items()})
    assert "no column is a label: every box is of the class 'object'" in source.notes


def test_a_row_of_words_that_are_no_boxes_is_named(tmp_path):
    root = strings(tmp_path / "data", lambda b: [b[4], *b[:4]], MADE)
    lines = (root / "train.csv").read_text().splitlines()
    lines[3] += " ant 4 4"
    write(root / "train.csv", lines)
    (problem,) = errors(open_source(root, truth="boxes"))
    assert "line 4 of train.csv" in problem
    assert "ant 4 4) is not boxes of label four numbers" in problem


def test_a_string_that_can_be_read_in_two_ways_is_refused_with_both(tmp_path):
    made = {f"s{k}.png": [(1, 2, 30, 40, "x")] * 4 for k in range(6)}
    root = strings(tmp_path / "data", lambda b: [1, 1, 1, 1, 1], made)
    match = r"two ways: four numbers for each box, or label four numbers\. Write a row a box"
    with pytest.raises(InputError, match=match):
        open_source(root, truth="boxes")


@pytest.mark.parametrize("name", READ)
def test_columns_are_told(tmp_path, name):
    header, row, words = READ[name]
    root = table(tmp_path / "data", header, row)
    source = open_source(root, truth="boxes")
    assert source.name == "box_table"
    assert words in source.layout
    assert same(source, MADE), source.layout
    assert not errors(source)
    assert truth_in(root) == "boxes"
    assert same(open_source(root / "boxes.csv", truth="boxes"), MADE)


def test_a_class_that_is_a_number_by_place(tmp_path):
    numbers = {"ant": 7, "bee": 11}
    root = table(tmp_path / "data", "", lambda n, b: joined(n, *b[:4], numbers[b[4]]))
    source = open_source(root, truth="boxes")
    assert source.class_names == ["7", "11"]
    numbered = {n: [(*b[:4], str(numbers[b[4]])) for b in bs] for n, bs in MADE.items()}
    assert same(source, numbered)


def test_rows_without_a_box_are_images_without_any_and_the_unlisted_are_left_out(tmp_path):
    root = table(tmp_path / "data", "path,x1,y1,x2,y2,class", lambda n, b: joined(n, *b), FULL)
    save(root / "images" / "none.png", image(70, HEIGHT, WIDTH))
    text = (root / "boxes.csv").read_text()
    negatives = open_source(root, truth="boxes")
    assert same(negatives, {**FULL, "none.png": []})
    assert "1 image that no annotation names count as images without any box" in said(negatives)
    assert same(box_table(root, unlisted="left_out"), FULL)
    save(root / "images" / "told.png", image(71, HEIGHT, WIDTH))
    write(root / "boxes.csv", text + "images/told.png,,,,,\n")
    told = open_source(root, truth="boxes")
    assert same(told, {**FULL, "told.png": []})
    assert "1 image beside the annotated ones, images/none.png, ..., have no ann" in said(told)
    assert same(box_table(root, unlisted="negatives"), {**FULL, "none.png": [], "told.png": []})


def test_more_images_without_rows_than_with_is_not_told(tmp_path):
    root = table(tmp_path / "data", "image,x1,y1,x2,y2,label", lambda n, b: joined(n, *b), FULL)
    for k in range(30):
        save(root / "images" / f"more{k}.png", image(k, HEIGHT, WIDTH))
    with pytest.raises(InputError, match=r"30 images beside .*unlisted=negatives; .*=left_out"):
        open_source(root, truth="boxes")
    assert same(open_source(root, truth="boxes", unlisted="left_out"), FULL)


def test_without_labels_there_is_one_class(tmp_path):
    root = table(tmp_path / "data", "image,x1,y1,x2,y2", lambda n, b: joined(n, *b[:4]))
    source = open_source(root, truth="boxes")
    assert source.class_names == ["object"]
    assert "no column is a label: every box is of the class 'object'" in source.notes
    assert same(source, {n: [(*b[:4], "object") for b in bs] for n, bs in MADE.items()})


@pytest.mark.parametrize("name", ["cell_type", "kind of ant"])
def test_the_only_column_that_is_left_is_the_label(tmp_path, name):
    root = table(
        tmp_path / "data", f"image,{name},x1,y1,x2,y2", lambda n, b: joined(n, b[4], *b[:4])
    )
    source = open_source(root, truth="boxes")
    assert same(source, MADE)
    assert f"boxes.csv: labels are those of the column {name}, the only one left" in source.notes


def test_a_column_that_may_be_the_label_is_no_reason_to_guess(tmp_path):
    """Neither is one class made of several without a word, nor classes of remarks."""
    header = "image,x1,y1,x2,y2,stain,of whom"
    root = table(tmp_path / "data", header, lambda n, b: joined(n, *b[:4], 0, b[4]))
    with pytest.raises(InputError, match="boxes of one class, or of the classes in") as e:
        open_source(root, truth="boxes")
    declared = "{file: image, box: [x1, y1, x2, y2]"
    ways = f"columns={declared}}}' or --set 'data.source.columns={declared}, label: \"of whom\"}}'"
    assert ways in str(e.value)
    columns = {"file": "image", "box": ["x1", "y1", "x2", "y2"]}
    assert box_table(root, columns=columns).class_names == ["object"]
    assert same(box_table(root, columns={**columns, "label": "of whom"}), MADE)


@pytest.mark.parametrize("column", [lambda k: k % 2, "note {}".format])
def test_numbers_and_remarks_are_no_labels(tmp_path, column):
    count = itertools.count()
    row = lambda n, b: joined(n, *b[:4], column(next(count)))  # noqa: E731
    source = open_source(table(tmp_path / "data", "image,x1,y1,x2,y2,more", row), truth="boxes")
    assert source.class_names == ["object"]


def test_several_boxes_in_a_cell(tmp_path):
    root = tmp_path / "data"
    save_images(root / "images", MADE)
    rows = ["image,bboxes,labels"]
    for name, boxes in MADE.items():
        sides, labels = [[*b[:4]] for b in boxes], [b[4] for b in boxes]
        rows.append(f'{name},"{sides}","{labels}"')
    write(root / "boxes.csv", rows)
    assert same(open_source(root, truth="boxes"), MADE)


def test_what_names_say_yields_to_numbers_that_contradict_it(tmp_path):
    """Corners in columns of sizes, sizes in columns of corners: refused with both readings."""
    root = table(tmp_path / "data", "image,x,y,w,h,label", lambda n, b: joined(n, *b))
    with pytest.raises(InputError, match=r"in two ways: as sizes .*; as corners .*coordinates=cor"):
        open_source(root, truth="boxes")
    assert same(open_source(root, truth="boxes", coordinates="corners"), MADE)
    root = table(
        *(tmp_path / "b", "image,x1,y1,x2,y2,label"), lambda n, b: joined(n, *size_of(b), b[4])
    )
    with pytest.raises(InputError, match=r"two ways: as corners .*; as sizes .*coordinates=sizes"):
        open_source(root, truth="boxes")
    source = open_source(root, truth="boxes", coordinates="sizes")
    assert same(source, MADE)
    assert "sizes in pixels, as declared" in source.layout


def test_what_cannot_be_told_names_both_readings(tmp_path):
    made: Scenes = {"s0.png": [(50, 20, 60, 30, "ant")], "s1.png": [(40, 10, 80, 40, "bee")]}
    root = table(
        tmp_path / "data", "image,bbox,label", lambda n, b: f'{n},"{[*b[:4]]}",{b[4]}', made
    )
    with pytest.raises(InputError, match=r"the first box, 50, 20, 60, 30 at line 2 of boxes.csv"):
        open_source(root, truth="boxes")
    assert same(open_source(root, truth="boxes", coordinates="corners"), made)


def test_pixels_and_shares_in_one_table(tmp_path):
    def row(name: str, box: Box) -> str:
        return joined(name, *(scaled(box, 1 / WIDTH, 1 / HEIGHT) if name == "s02.png" else box))

    root = table(tmp_path / "data", "image,x1,y1,x2,y2,label", row)
    with pytest.raises(InputError, match=r"most boxes are in pixels, 3 boxes of \d+ in shares"):
        open_source(root, truth="boxes")


def test_one_file_a_split_and_a_column_of_splits(tmp_path):
    parts = {"train": scenes(9, seed=1), "valid": scenes(5, seed=2)}
    for part, made in parts.items():
        named = {f"{part}_{n}": boxes for n, boxes in made.items()}
        parts[part] = named
        save_images(tmp_path / "a" / part, named)
        rows = [joined(n, *b) for n, bs in named.items() for b in bs]
        write(tmp_path / "a" / part / "_annotations.csv", ["image,x1,y1,x2,y2,label", *rows])
    source = open_source(tmp_path / "a", truth="boxes")
    assert same(source, {**parts["train"], **parts["valid"]})
    assert {(r.id.split("_")[0], r.split) for r in source.records} == {
        ("train", "train"),
        ("valid", "val"),
    }
    root = table(
        *(tmp_path / "b", "image,split,x1,y1,x2,y2,label"),
        lambda n, b: joined(n, "val" if n < "s06" else "train", *b),
        FULL,
    )
    source = open_source(root, truth="boxes")
    assert {(r.id < "s06", r.split) for r in source.records} == {(True, "val"), (False, "train")}


def test_tables_that_are_not_to_be_trained_on_are_not_read(tmp_path):
    """`dev_test_labels.csv`, `sample_submission.csv`: whatever they hold."""
    root = table(tmp_path / "data", "image,x1,y1,x2,y2,label", lambda n, b: joined(n, *b))
    for name in ("dev_test_labels.csv", "sample_submission.csv"):
        write(root / name, ["image,x1,y1,x2,y2,label", "s00.png,1,1,30,30,wasp"])
    save(root / "test" / "s00.png", image(99, HEIGHT, WIDTH))
    source = open_source(root, truth="boxes")
    assert same(source, MADE)
    test = [r for r in source.records if r.part == "test"]
    assert [(r.id, r.labelled, r.split) for r in test] == [("s00", False, "test")]
    assert "2 .csv files in the folder itself are not read" in said(source)


def test_two_tables_of_one_part_are_both_named(tmp_path):
    root = table(tmp_path / "data", "image,x1,y1,x2,y2,label", lambda n, b: joined(n, *b))
    write(root / "boxes_2.csv", (root / "boxes.csv").read_text())
    with pytest.raises(InputError, match=r"boxes.csv and boxes_2.csv: which one is meant\?"):
        open_source(root, truth="boxes")
    assert same(open_source(root, truth="boxes", annotations="boxes_2.csv"), MADE)


def test_the_label_tells_files_of_one_name_apart(tmp_path):
    made = {"ant/1.png": [(2, 3, 20, 30, "ant")], "bee/1.png": [(5, 6, 40, 50, "bee")]}
    save_images(tmp_path / "train", made)
    rows = [joined("1.png", *b) for bs in made.values() for b in bs]
    write(tmp_path / "train.csv", ["image,x1,y1,x2,y2,label", *rows])
    source = open_source(tmp_path, truth="boxes")
    assert {r.id: source.read(i).boxes.tolist() for i, r in enumerate(source.records)} == {
        "ant/1": [[2, 3, 20, 30]],
        "bee/1": [[5, 6, 40, 50]],
    }


def test_names_of_classes_stand_in_a_file(tmp_path):
    numbers = {"ant": 0, "bee": 1}
    root = table(
        *(tmp_path / "data", "image,x1,y1,x2,y2,label"),
        lambda n, b: joined(n, *b[:4], numbers[b[4]]),
    )
    write(root / "classes.txt", ["ant", "bee", "cicada"])
    source = open_source(root, truth="boxes")
    assert same(source, MADE)
    assert "the class 'cicada' (2) has no box" in said(source)


ROWS = {
    "s00.png,1,2,x,30,ant": r"line 2 of boxes.csv: the box \(1, 2, x, 30\) is not four numbers",
    "s00.png,1,2,,30,ant": r"line 2 of boxes.csv: the box \(1, 2, , 30\) is not four numbers",
    "s00.png,1,2,nan,30,ant": r"line 2 of boxes.csv: the box \(1, 2, nan, 30\) is not four num",
    "s00.png,1,2,20,30,": "line 2 of boxes.csv: has a box and no label",
    "../../etc/passwd,1,2,20,30,ant": r"line 2 of boxes.csv \(../../etc/passwd\): no such image",
    "/other/x.png,1,2,20,30,ant": r"line 2 of boxes.csv \(/other/x.png\): no such image, and 1 row",
    "http://a.b/x.png,1,2,20,30,ant": r"line 2 of boxes.csv \(http://a.b/x.png\): no such image",
    ",1,2,20,30,ant": r"line 2 of boxes.csv \(\): names no file",
}


@pytest.mark.parametrize("row", ROWS)
def test_faults_of_rows_are_errors_that_name_them(tmp_path, row):
    root = table(tmp_path / "data", "image,x1,y1,x2,y2,label", lambda n, b: joined(n, *b))
    lines = (root / "boxes.csv").read_text().splitlines()
    write(root / "boxes.csv", [lines[0], row, *lines[1:]])
    with pytest.raises(AssertionError, match=ROWS[row]):
        assert not errors(open_source(root, truth="boxes"))


def test_an_unknown_split_is_an_error(tmp_path):
    root = table(
        *(tmp_path / "data", "image,split,x1,y1,x2,y2,label"), lambda n, b: joined(n, "dev1", *b)
    )
    found = errors(open_source(root, truth="boxes"))
    assert "unknown split 'dev1'. Write train, val, test" in found[0]


def test_columns_may_be_declared_by_name_and_by_number(tmp_path):
    root = table(tmp_path / "a", "u,v,w1,w2,w3,w4,z", lambda n, b: joined(n, b[4], *b[:4], 9))
    columns = {"file": "u", "label": "v", "box": ["w1", "w2", "w3", "w4"]}
    source = open_source(root, truth="boxes", columns=columns)
    assert same(source, MADE)
    assert "corners in pixels, as declared" in source.layout
    root = table(tmp_path / "b", "", lambda n, b: joined(b[4], n, 0, *b[:4]))
    source = box_table(root, columns={"file": 1, "label": 0, "box": [3, 4, 5, 6]})
    assert same(source, MADE)
    with pytest.raises(InputError, match=r"boxes.csv has no column 'left' \(box\). It has ant, s"):
        box_table(root, columns={"file": 1, "box": ["left", 4, 5, 6]})
    with pytest.raises(InputError, match=r"columns must hold file and box, and may hold label"):
        box_table(root, columns={"file": 1, "xmin": 3})


def test_one_box_an_image_is_still_a_table_of_labels_unless_boxes_are_asked_for(tmp_path):
    one = {name: boxes[:1] for name, boxes in FULL.items()}
    root = table(tmp_path / "data", "image,x1,y1,x2,y2,label", lambda n, b: joined(n, *b), one)
    assert truth_in(root) == "label"
    assert open_source(root, truth="label").read(0).boxes.shape == (1, 4)
    assert same(open_source(root, truth="boxes"), one)


@pytest.mark.parametrize(
    ("column", "yes", "no"),
    [("IsGroupOf", "1", "-1"), ("iscrowd", "True", "false"), ("is_crowd", "1.0", "")],
)
def test_crowds_stay_as_regions_to_ignore_and_are_listed(tmp_path, column, yes, no):
    root = table(
        *(tmp_path / "data", f"image,x1,y1,x2,y2,label,{column}"),
        lambda n, b: joined(n, *b, yes if n == "s00.png" else no),
    )
    source = open_source(root, truth="boxes")
    crowd = [(*sides, f"crowd of {label}") for *sides, label in MADE["s00.png"]]
    assert same(source, {**MADE, "s00.png": crowd})
    assert "1 box ignored: crowd (first: line 2 of boxes.csv)" in source.notes
    assert f"{sum(map(len, MADE.values())) - 1} boxes of 2 classes" in source.layout
    assert source.listing()[0][2].done == "ignored: crowd"
    assert not open_source(root, truth="boxes", faults="refuse").problems
    counts = scan(source, cache=False).class_pixels.sum()
    assert counts == sum(map(len, MADE.values())) - 1


def test_a_crowd_is_cut_at_the_edge_repeats_no_box_and_may_be_faulty(tmp_path):
    def line(name, box):
        rows = [joined(name, *box, 0)]
        if name == "s00.png":
            x1, y1, x2, y2, label = box
            rows += [joined(name, x1, y1, x2, y2, label, 1), joined(name, -9, 2, 8, 9, label, 1)]
            rows += [joined(name, 4, 4, 4, 9, label, 1)]
        return "\n".join(rows)

    root = table(tmp_path / "data", "image,x1,y1,x2,y2,label,iscrowd", line)
    source = open_source(root, truth="boxes")
    ((*sides, label),) = MADE["s00.png"]
    crowds = [(*sides, f"crowd of {label}"), (0, 2, 8, 9, f"crowd of {label}")]
    assert same(source, {**MADE, "s00.png": [(*sides, label), *crowds]})
    done = [box.done for _, _, box in source.listing()[:4]]
    assert done == ["", "ignored: crowd", "ignored: crowd; clipped", "left out: no area"]


def test_no_table_at_all(tmp_path):
    save_images(tmp_path / "images", MADE)
    with pytest.raises(InputError, match=r"holds no CSV file with columns of boxes: file, label"):
        box_table(tmp_path)


def test_paths_of_another_machine_are_read_by_their_ends(tmp_path):
    root = table(
        *(tmp_path / "data", "path,x1,y1,x2,y2,class"),
        lambda n, b: joined(f"C:\\work\\images\\{n}", *b),
    )
    source = open_source(root, truth="boxes")
    assert same(source, MADE)
    assert "read without its first" in said(source)


TURNED = {  # header, a row, and what is said
    "four corners": (
        "image,x1,y1,x2,y2,x3,y3,x4,y4,label",
        lambda n, b: joined(n, b[0], b[1], b[2], b[1], b[2], b[3], b[0], b[3], b[4]),
        "the columns x1 y1 x2 y2 x3 y3 x4 y4 are four corners",
    ),
    "corners from 0": (
        "image,label,x_0,y_0,x_1,y_1,x_2,y_2,x_3,y_3",
        lambda n, b: joined(n, b[4], b[0], b[1], b[2], b[1], b[2], b[3], b[0], b[3]),
        "the columns x0 y0 x1 y1 x2 y2 x3 y3 are four corners",
    ),
    "an angle": (
        "image,cx,cy,w,h,angle,label",
        lambda n, b: joined(n, *centre_of(b), 30, b[4]),
        r"the column angle turns \d+ of them, the first by 30",
    ),
    "theta beside a list": (
        "image,bbox,theta,label",
        lambda n, b: joined(n, f'"{size_of(b)}"', -0.5, b[4]),
        r"the column theta turns \d+ of them, the first by -0\.5",
    ),
    "a list of eight": (
        "image,bbox,label",
        lambda n, b: f'{n},"[{b[0]},{b[1]},{b[2]},{b[1]},{b[2]},{b[3]},{b[0]},{b[3]}]",{b[4]}',
        r"a box has 8 numbers, four corners \(\[\d+",
    ),
    "a list of five": (
        "image,box,label",
        lambda n, b: f'{n},"({b[0]}, {b[1]}, 9, 9, 45)",{b[4]}',
        "a box has 5 numbers, four numbers and an angle",
    ),
}


@pytest.mark.parametrize("name", TURNED)
def test_turned_boxes_are_refused_by_what_shows_them(tmp_path, name):
    header, row, words = TURNED[name]
    root = table(tmp_path / "data", header, row)
    match = rf"boxes\.csv has turned boxes: {words}.*Only upright boxes are read: write of each"
    with pytest.raises(InputError, match=match):
        open_source(root, truth="boxes")


def test_an_angle_of_nothing_and_one_beside_corners_turn_no_box(tmp_path):
    still = table(tmp_path / "a", "image,cx,cy,w,h,angle,label", TURNED["an angle"][1])
    text = (still / "boxes.csv").read_text().replace(",30,", ",0.0,")
    write(still / "boxes.csv", text)
    assert same(open_source(still, truth="boxes"), MADE)
    header = "image,xmin,ymin,xmax,ymax,angle,label"  # the angle of the camera, say
    corners = table(tmp_path / "b", header, lambda n, b: joined(n, *b[:4], 30, b[4]))
    source = open_source(corners, truth="boxes")
    assert same(source, MADE)
    assert "boxes.csv: columns not used: angle" in said(source)


def percent_of(b: Box, digits: int = 2) -> list[float]:
    return [round(v, digits) for v in scaled(b, 100 / 400, 100 / 240)[:4]]


LARGE = {  # on images of 240 x 400 pixels, reaching to the right and to the bottom
    name: [(4 + 9 * n, 3 + 5 * k, 204 + 7 * n, 12 + 5 * k, "ant") for n in range(2)]
    + [(380.0, 228.0, 399, 239, "bee")]
    for k, name in enumerate(f"s{i:02d}.png" for i in range(12))
}


def percents(root: Path, header: str, row, made: Scenes) -> Path:
    save_images(root / "images", made, 240, 400)
    return write(root / "b.csv", [header, *(row(n, b) for n in made for b in made[n])]).parent


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        (
            "image,xmin,ymin,xmax,ymax,label",
            lambda n, b: joined(n, *percent_of(b, 4), b[4]),
            "corners in percent",
        ),
        (
            "file,x,y,w,h,label",
            lambda n, b: joined(n, *size_of((*percent_of(b, 4), "")), b[4]),
            "sizes in percent",
        ),
    ],
)
def test_percent_of_many_boxes_that_reach_to_the_ends_is_told(tmp_path, header, row, words):
    source = open_source(percents(tmp_path / "data", header, row, LARGE), truth="boxes")
    assert words in source.layout
    assert "the numbers of boxes are percent of width and height" in said(source)
    for name, boxes in boxes_of(source).items():
        found = [value for box in boxes for value in box[:4]]
        assert found == pytest.approx([v for box in LARGE[name] for v in box[:4]], abs=2e-3)


FEW_LARGE = {name: LARGE[name] for name in list(LARGE)[:4]}
INNER = {name: boxes[:2] for name, boxes in LARGE.items()}


@pytest.mark.parametrize(("made", "digits"), [(FEW_LARGE, 2), (INNER, 2), (LARGE, 0)])
def test_what_may_be_percent_or_pixels_is_refused_with_both(tmp_path, made, digits):
    header = "image,xmin,ymin,xmax,ymax,label"
    rows = lambda n, b: joined(n, *percent_of(b, digits), b[4])  # noqa: E731
    root = percents(tmp_path / "data", header, rows, made)
    match = r"two ways: in percent of width and height.* or in pixels, none reaches beyond \("
    with pytest.raises(InputError, match=match):
        open_source(root, truth="boxes")
    pixels = {n: [(*percent_of(b, digits), b[4]) for b in boxes] for n, boxes in made.items()}
    read = boxes_of(open_source(root, truth="boxes", annotated_size="file"))
    assert [b[:4] for b in read["s00.png"]] == [
        pytest.approx(b[:4], abs=1e-4) for b in pixels["s00.png"]
    ]
    source = open_source(root, truth="boxes", annotated_size=[100, 100])
    assert boxes_of(source)["s00.png"][0][2] == pytest.approx(made["s00.png"][0][2], abs=4)


def test_pixels_are_pixels_where_images_are_small_or_boxes_lie_anywhere(tmp_path):
    header, row = "image,xmin,ymin,xmax,ymax,label", lambda n, b: joined(n, *b)
    assert "in pixels" in open_source(table(tmp_path / "a", header, row), truth="boxes").layout
    root = percents(tmp_path / "b", header, row, LARGE)
    assert "in pixels" in open_source(root, truth="boxes").layout
    few = {name: [(1, 2, 60, 70, "ant")] for name in list(LARGE)[:5]}
    assert (
        "in pixels" in open_source(percents(tmp_path / "c", header, row, few), truth="boxes").layout
    )
