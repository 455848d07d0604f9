"""What formats of boxes leave open: ids, parents, splits, gaps, polygons, parts, other results."""

import json

import pytest

from tests.data.make import image, save
from tests.data.sources.boxes.made import (
    HEIGHT,
    WIDTH,
    coco,
    coco_content,
    createml,
    cvat,
    errors,
    kitti,
    label_studio,
    labelme,
    said,
    same,
    save_images,
    scenes,
    supervisely,
    via,
    voc,
    voc_text,
    write,
    write_json,
    yolo,
    yolo_lines,
)
from tfvision.data.sources.boxes.coco import coco_boxes
from tfvision.data.sources.boxes.labelme import labelme_boxes
from tfvision.data.sources.boxes.tools import tool_boxes
from tfvision.data.sources.boxes.voc import voc_boxes
from tfvision.data.sources.boxes.yolo import yolo_boxes
from tfvision.data.sources.recognise import open_source, truth_in
from tfvision.data.sources.tables.unlabelled import check_has_truth
from tfvision.errors import InputError

MADE = scenes(10)
NUMBERS = {"ant": 0, "bee": 1}


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    write_json(path, content)


# ---------------------------------------------------------------- COCO


@pytest.mark.parametrize("ids", [(0, 1), (4, 77), (90, 3), ("b7", "a1")])
def test_coco_ids_may_be_any(tmp_path, ids):
    coco(tmp_path, MADE, ids=ids, first=0)
    source = coco_boxes(tmp_path)
    assert same(source, MADE)
    assert source.class_names == (["bee", "ant"] if ids == (90, 3) else ["ant", "bee"])
    assert "annotations are numbered anew from 1" in said(source)


def test_coco_parents_group_and_classes_may_be_without_a_box(tmp_path):
    coco(tmp_path, MADE)

    def parents(content):
        content["categories"] = [
            {"id": 0, "name": "insects", "supercategory": "none"},
            *({**c, "supercategory": "insects"} for c in content["categories"]),
            {"id": 9, "name": "wasp", "supercategory": "insects"},
        ]

    changed(tmp_path / "annotations.json", parents)
    source = coco_boxes(tmp_path)
    assert source.class_names == ["ant", "bee", "wasp"]
    assert same(source, MADE)
    assert "no classes, as they only group others: insects" in said(source)
    assert "the class 'wasp' (2) has no box" in said(source)
    changed(tmp_path / "annotations.json", lambda c: c["annotations"][0].update(category_id=0))
    assert coco_boxes(tmp_path).class_names == ["insects", "ant", "bee", "wasp"]


def test_coco_outlines_are_left_and_serve_where_there_is_no_box(tmp_path):
    coco(tmp_path, MADE)

    def outlined(content):
        for k, entry in enumerate(content["annotations"]):
            x, y, w, h = entry["bbox"]
            entry["segmentation"] = [[x, y + 1, x + w, y + 1, x + w, y + h, x + 2, y]]
            if k == 0:
                del entry["bbox"]

    changed(tmp_path / "annotations.json", outlined)
    source = open_source(tmp_path, truth="boxes")
    assert source.name == "coco_boxes"
    assert same(source, MADE)
    assert "(polygons, run lengths) are not read: boxes are" in said(source)
    assert "1 annotation without a bbox: the hull of polygons" in said(source)
    assert truth_in(tmp_path) == "masks"  # both are there: outlines are read where none is asked
    assert open_source(tmp_path, truth=None).name == "coco_masks"


def test_coco_crowds_and_one_file_a_split(tmp_path):
    parts = {"train": scenes(6, seed=1), "val": scenes(4, seed=2)}
    for part, made in parts.items():
        parts[part] = {f"{part}_{n}": boxes for n, boxes in made.items()}
        save_images(tmp_path / f"{part}2017", parts[part])
        content = coco_content(parts[part])
        content["annotations"][0]["iscrowd"] = 1 if part == "train" else "1"  # both are met
        write_json(tmp_path / "annotations" / f"instances_{part}2017.json", content)
    source = coco_boxes(tmp_path)
    crowds = {}
    for made in parts.values():
        name, ((*sides, label), *rest) = next((n, b) for n, b in made.items() if b)
        crowds[name] = [(*sides, f"crowd of {label}"), *rest]
    assert same(source, {**parts["train"], **parts["val"], **crowds})
    assert [r.split for r in source.records] == ["train"] * 6 + ["val"] * 4
    assert "2 boxes ignored: crowd (first: annotation 1 of annotations/instances_" in said(source)


COCO_FAULTS = {
    "an unknown category": (
        lambda c: c["annotations"][2].update(category_id=12),
        r"annotation 3 has the category 12; listed are 1, 2",
    ),
    "an unknown image": (
        lambda c: c["annotations"][2].update(image_id=999),
        r"1 annotation of images that it does not list: 3 of image 999",
    ),
    "an image twice": (
        lambda c: c["images"][1].update(id=1),
        r"entry 1 of 'images' has the id '1', as entry 0 has",
    ),
    "a name twice": (
        lambda c: c["images"][1].update(file_name="s00.png"),
        r"entry 1 of 'images' has the file_name 's00.png', as entry 0 has",
    ),
    "no categories": (lambda c: c.pop("categories"), r"COCO needs the list 'categories'"),
}


@pytest.mark.parametrize("fault", COCO_FAULTS)
def test_coco_entries_that_do_not_fit(tmp_path, fault):
    change, message = COCO_FAULTS[fault]
    coco(tmp_path, MADE)
    changed(tmp_path / "annotations.json", change)
    with pytest.raises(InputError, match=message):
        coco_boxes(tmp_path)


@pytest.mark.parametrize("bbox", [[1, 2, 3], ["a", 1, 2, 3], [1, 2, float("nan"), 4], None, 7])
def test_coco_boxes_that_are_no_four_numbers(tmp_path, bbox):
    coco(tmp_path, MADE)
    changed(tmp_path / "annotations.json", lambda c: c["annotations"][2].update(bbox=bbox))
    (error,) = errors(coco_boxes(tmp_path))
    assert "annotation 3 of annotations.json: its bbox is " in error
    assert "not four numbers. Correct it, x y width height, or delete it." in error


def test_coco_images_that_the_file_does_not_list_were_not_annotated(tmp_path):
    coco(tmp_path, MADE)
    save(tmp_path / "images" / "more.png", image(77, HEIGHT, WIDTH))
    source = coco_boxes(tmp_path)
    assert same(source, MADE)
    assert "images/more.png, ..., have no annotation: left out" in said(source)
    assert same(coco_boxes(tmp_path, unlisted="negatives"), {**MADE, "more.png": []})


# ---------------------------------------------------------------- Pascal VOC


def test_voc_parts_difficult_and_names_inside(tmp_path):
    part = "<part><name>leg</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
    voc(tmp_path, MADE, body=f"{part}</bndbox></part>")
    for k, (name, boxes) in enumerate(MADE.items()):
        if k % 2:
            text = voc_text(boxes, name=f"C:\\photos\\IMG_{k}.JPG").replace(">0</diff", ">1</diff")
            write(tmp_path / "Annotations" / f"{name[:-4]}.xml", text)
    source = voc_boxes(tmp_path)
    assert same(source, MADE)
    words = said(source)
    assert "boxes of parts of" in words
    assert "5 files of XML name another image inside (the first C:\\photos\\IMG_1.JPG" in words
    assert "marked difficult: read like the others" in words


def test_voc_files_beside_the_images_decimals_and_lists(tmp_path):
    made = {n: [(b[0] + 0.25, b[1] + 0.5, b[2] - 0.75, b[3], b[4]) for b in bs]
            for n, bs in MADE.items()}  # fmt: skip
    save_images(tmp_path / "all", made)
    for name, boxes in made.items():
        write(tmp_path / "all" / f"{name[:-4]}.xml", voc_text(boxes, name=name))
    assert same(open_source(tmp_path, truth=None), made)
    names = [name[:-4] for name in made]
    write(tmp_path / "ImageSets" / "Main" / "train.txt", names[:7])
    write(tmp_path / "ImageSets" / "Main" / "val.txt", names[7:])
    write(tmp_path / "ImageSets" / "Main" / "ant_train.txt", [f"{n}  1" for n in names])
    source = open_source(tmp_path, truth="boxes")
    assert same(source, made)
    assert {(r.id[-3:], r.split) for r in source.records} == {
        (n, "train" if k < 7 else "val") for k, n in enumerate(names)
    }


def test_voc_one_name_in_several_parts_is_matched_within_its_part(tmp_path):
    for part, seed in (("train", 1), ("test", 2)):
        made = scenes(4, seed=seed)
        save_images(tmp_path / part / "images", made)
        for name, boxes in made.items():
            write(tmp_path / part / "annotations" / f"{name[:-4]}.xml", voc_text(boxes))
    source = voc_boxes(tmp_path)
    assert len(source) == 8
    for part, seed in (("train", 1), ("test", 2)):
        own = [i for i, record in enumerate(source.records) if record.part == part]
        read = [source.read(i).boxes.tolist() for i in own]
        assert read == [[[*map(float, b[:4])] for b in bs] for bs in scenes(4, seed=seed).values()]


def test_voc_objects_that_are_none_and_files_that_are_no_xml(tmp_path):
    voc(tmp_path, MADE)
    text = voc_text(MADE["s00.png"]).replace("bndbox", "robndbox")
    write(tmp_path / "Annotations" / "s00.xml", text)
    (error,) = errors(voc_boxes(tmp_path))
    assert "object 1 of Annotations/s00.xml: has no <bndbox> with xmin, ymin, xmax, ymax" in error
    write(tmp_path / "Annotations" / "s00.xml", text[:-20])
    with pytest.raises(InputError, match=r"s00.xml is no whole XML: .*line 1, column"):
        voc_boxes(tmp_path)
    write(tmp_path / "Annotations" / "s00.xml", f'<!DOCTYPE a [<!ENTITY x "y">]>{text}')
    with pytest.raises(InputError, match=r"s00.xml declares entities, which are not read"):
        voc_boxes(tmp_path)


def test_voc_masks_beside_boxes_are_read_where_nothing_is_asked(tmp_path):
    voc(tmp_path, MADE)
    for name in MADE:
        save(tmp_path / "SegmentationClass" / name, image(1, HEIGHT, WIDTH, channels=1) // 128)
    assert truth_in(tmp_path) == "masks"
    assert same(open_source(tmp_path, truth="boxes"), MADE)


# ---------------------------------------------------------------- YOLO


def test_yolo_names_may_have_gaps(tmp_path):
    yolo(tmp_path, MADE)
    for name, boxes in MADE.items():
        lines = yolo_lines(boxes, {"ant": 2, "bee": 7})
        write(tmp_path / "labels" / f"{name[:-4]}.txt", "".join(f"{one}\n" for one in lines))
    write(tmp_path / "data.yaml", "nc: 8\nnames: {2: ant, 7: bee}\n")
    source = yolo_boxes(tmp_path)
    assert source.class_names == ["ant", "bee"]
    assert same(source, MADE)
    write(tmp_path / "data.yaml", "names: {2: ant, 6: bee}\n")
    with pytest.raises(InputError, match=r"has the class 7; data.yaml names 2 ant, 6 bee. Corr"):
        yolo_boxes(tmp_path)


def test_yolo_empty_and_missing_files_are_told_apart(tmp_path):
    yolo(tmp_path, {**MADE, "x.png": [], "y.png": []})
    for name in ("x.txt", "y.txt"):
        (tmp_path / "labels" / name).unlink()
    source = yolo_boxes(tmp_path)
    assert same(source, {**MADE, "x.png": [], "y.png": []})
    words = "1 image with an empty label file and 2 images without a label file: read as"
    assert words in said(source)


def test_yolo_class_numbers_may_be_written_as_decimals(tmp_path):
    yolo(tmp_path, MADE)
    for path in (tmp_path / "labels").iterdir():
        text = "".join(f"{line[0]}.0{line[1:]}\n" for line in path.read_text().splitlines())
        write(path, text)
    assert same(open_source(tmp_path, truth="boxes"), MADE)


@pytest.mark.parametrize("every", [1, 2])
def test_yolo_polygons_are_read_by_their_hull(tmp_path, every):
    yolo(tmp_path, MADE)
    for name, boxes in MADE.items():
        lines = yolo_lines(boxes, NUMBERS)
        for k in range(0, len(boxes), every):
            x1, y1, x2, y2, label = boxes[k]
            points = [(x1, y1 + 2), (x1 + 3, y1), (x2, y2 - 1), (x1 + 2, y2)]
            shares = " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in points)
            lines[k] = f"{NUMBERS[label]} {shares}"
        write(tmp_path / "labels" / f"{name[:-4]}.txt", "".join(f"{one}\n" for one in lines))
    source = open_source(tmp_path, truth="boxes")
    assert same(source, MADE)
    assert "the hull of each is its box" in said(source)
    assert truth_in(tmp_path) == ("masks" if every == 1 else "boxes")


def test_yolo_splits_by_data_yaml(tmp_path):
    for folder, part in (("day", "s0"), ("night", "n")):
        made = {f"{part}{n}": boxes for n, boxes in scenes(4).items()}
        save_images(tmp_path / "images" / folder, made)
        for name, boxes in made.items():
            text = "".join(f"{line}\n" for line in yolo_lines(boxes, NUMBERS))
            write(tmp_path / "labels" / folder / f"{name[:-4]}.txt", text)
    names = "names: [ant, bee]\n"
    write(tmp_path / "data.yaml", f"path: ../a\ntrain: images/day\nval: images/night\n{names}")
    split = {(r.id.split("/")[0], r.split) for r in yolo_boxes(tmp_path).records}
    assert split == {("day", "train"), ("night", "val")}
    images = [f"./images/day/s0s0{k}.png" for k in range(4)]
    write(tmp_path / "train.txt", [*images[2:], "./images/night/ns00.png"])
    write(tmp_path / "val.txt", images[:2])
    write(tmp_path / "data.yaml", f"train: a/train.txt\nval: a/val.txt\n{names}")
    splits = [record.split for record in yolo_boxes(tmp_path).records]
    assert [splits.count(split) for split in ("train", "val", None)] == [3, 2, 3]


YOLO_FAULTS = {
    "0 0.5 0.5 0.1": r"line 1 of labels/s00.txt holds 3 values behind its class: 0.5 0.5 0.1",
    "0 0.5 0.5 0.1 0.1 0.93": r"holds 5 values .* It looks like a prediction with a score",
    "0 0.5 0.5 0.1 x": r"line 1 of labels/s00.txt holds 4 values behind its class: 0.5 0.5 0.1 x",
    "ant 0.5 0.5 0.1 0.1": r"s00.txt, line 1 begins with 'ant'; a class number",
    "5 0.5 0.5 0.1 0.1": r"s00.txt, line 1 has the class 5; data.yaml names 0 ant, 1 bee",
}


@pytest.mark.parametrize("line", YOLO_FAULTS)
def test_yolo_lines_that_are_no_box(tmp_path, line):
    yolo(tmp_path, MADE)
    write(tmp_path / "labels" / "s00.txt", [line])
    with pytest.raises(InputError, match=YOLO_FAULTS[line]):
        yolo_boxes(tmp_path)


# ---------------------------------------------------------------- LabelMe and the other tools


def test_labelme_shapes_are_read_by_their_hull(tmp_path):
    labelme(tmp_path, MADE)

    def shapes(content):
        content["shapes"] = [
            {"label": "ant", "points": [[5, 6], [20, 9], [11, 30]], "shape_type": "polygon"},
            {"label": "bee", "points": [[60, 30], [60, 40]], "shape_type": "circle"},
            {"label": "bee", "points": [[70, 3]], "shape_type": "point"},
            {"label": "__ignore__", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"},
        ]

    changed(tmp_path / "s00.json", shapes)
    source = labelme_boxes(tmp_path)
    assert same(source, {**MADE, "s00.png": [(5, 6, 20, 30, "ant"), (50, 20, 70, 40, "bee")]})
    assert source.class_names == ["ant", "bee"]
    assert "2 shapes that are no rectangles: the hull of each is its box" in said(source)
    assert "1 shape of the kind point have no area and are not read" in said(source)
    assert "1 box left out: ignored" in said(source)
    assert open_source(tmp_path, truth="masks").name == "labelme"
    assert truth_in(tmp_path) == "masks"  # some shapes are outlines
    labelme(tmp_path, MADE)
    assert truth_in(tmp_path) == "boxes"
    assert open_source(tmp_path, truth="masks").name == "labelme"


def test_shapes_and_results_of_other_kinds(tmp_path):
    via(tmp_path / "a", MADE)

    def polygon(content):
        entry = content["_via_img_metadata"]["s00.png123"]
        shape = {"name": "polygon", "all_points_x": [5, 20, 11], "all_points_y": [6, 9, 30]}
        region = {"shape_attributes": shape, "region_attributes": {"label": {"bee": True}}}
        circle = {"name": "circle", "cx": 60, "cy": 30, "r": 10}
        entry["regions"] = {"0": region, "1": {**region, "shape_attributes": circle}}

    changed(tmp_path / "a" / "via_project.json", polygon)
    expected = [(5, 6, 20, 30, "bee"), (50, 20, 70, 40, "bee")]
    assert same(tool_boxes(tmp_path / "a"), {**MADE, "s00.png": expected})

    label_studio(tmp_path / "b", MADE)

    def results(content):
        result = content[0]["annotations"][0]["result"]
        result.append({"type": "choices", "value": {"choices": ["dark"]}})
        content[1]["annotations"].insert(0, {"was_cancelled": True, "result": []})
        content[2]["annotations"][0]["result"][0]["value"]["rotation"] = 12

    changed(tmp_path / "b" / "project-1.json", results)
    source = tool_boxes(tmp_path / "b")
    assert same(source, {**MADE, "s02.png": MADE["s02.png"][1:]})
    (error,) = errors(source)
    assert (
        "result 1 of project-1.json (/data/upload/1/0a1b2c3d-s02.png): is no upright box" in error
    )

    cvat(tmp_path / "c", MADE)
    path = tmp_path / "c" / "annotations.xml"
    text = path.read_text().replace('height="64">', 'height="64" subset="Validation">', 4)
    added = '<polygon label="bee" points="5,6;20,9;11,30"/><points label="x" points="1,1"/>'
    write(path, text.replace('subset="Validation">', f'subset="Validation">{added}', 1))
    source = tool_boxes(tmp_path / "c")
    assert same(source, {**MADE, "s00.png": [*MADE["s00.png"], (5, 6, 20, 30, "bee")]})
    assert [r.split for r in source.records].count("val") == 4

    kitti(tmp_path / "d", MADE)
    path = tmp_path / "d" / "label_2" / "s00.txt"
    line = "DontCare -1 -1 -10 5.00 6.00 20.00 30.00 -1 -1 -1 -1000 -1000 -1000 -10\n"
    write(path, path.read_text() + line)
    source = tool_boxes(tmp_path / "d")
    assert same(source, MADE)
    assert "1 box left out: DontCare (first: line " in said(source)


def test_files_of_tools_that_are_not_whole(tmp_path):
    createml(tmp_path / "a", MADE)
    path = tmp_path / "a" / "_annotations.createml.json"
    changed(path, lambda c: c[0]["annotations"][0].pop("label"))
    (error,) = errors(tool_boxes(tmp_path / "a"))
    assert "annotation 1 of _annotations.createml.json (s00.png): has no label" in error
    changed(path, lambda c: c.insert(0, "x"))
    with pytest.raises(InputError, match=r"looks like annotations of CreateML, but is none: At"):
        tool_boxes(tmp_path / "a")
    supervisely(tmp_path / "b", MADE)
    path = tmp_path / "b" / "ds" / "ann" / "s00.png.json"
    changed(path, lambda c: c["objects"][0]["points"].update(exterior=[[1, 1]]))
    (error,) = errors(tool_boxes(tmp_path / "b"))
    assert "object 1 of ds/ann/s00.png.json: is no upright box" in error
    with pytest.raises(InputError, match=r"holds no annotations of CreateML, Label Studio, VIA"):
        tool_boxes(tmp_path / "b" / "ds" / "img")


def test_two_files_of_annotations_are_both_named(tmp_path):
    coco(tmp_path, MADE)
    for name, boxes in MADE.items():
        write(tmp_path / "images" / f"{name[:-4]}.xml", voc_text(boxes))
    with pytest.raises(InputError, match=r"as boxes \(COCO boxes in .*\) or boxes \(Pascal VOC"):
        open_source(tmp_path, truth="boxes")
    assert same(coco_boxes(tmp_path), MADE)


def test_annotations_that_nothing_reads_are_named(tmp_path):
    save_images(tmp_path / "images", MADE)
    write(tmp_path / "boxes.xlsx", "a sheet")
    source = open_source(tmp_path, truth="boxes")
    with pytest.raises(InputError, match=r"no sample has boxes to train on.* 1 .xlsx file .*Know"):
        check_has_truth(source)
    write(tmp_path / "boxes.csv", "image,xmin,ymin,xmax,ymax,label")
    with pytest.raises(InputError, match=r"boxes.csv names no image. Add rows or entries"):
        open_source(tmp_path, truth="boxes")


# ---------------------------------------------------------------- turned boxes


def test_turned_boxes_of_coco_and_voc_are_named(tmp_path):
    coco(tmp_path / "a", MADE)

    def turn(content):
        content["annotations"][0]["bbox"] += [30.0]
        x, y, w, h = content["annotations"][1]["bbox"]
        content["annotations"][1]["bbox"] = [x, y, x + w, y, x + w, y + h, x, y + h]

    changed(tmp_path / "a" / "annotations.json", turn)
    problems = errors(coco_boxes(tmp_path / "a"))
    assert len(problems) == 2
    assert all("Only upright boxes are read: write of each the upright" in p for p in problems)
    voc(tmp_path / "b", MADE)
    file = next(p for p in sorted((tmp_path / "b").rglob("*.xml")) if "<bndbox>" in p.read_text())
    text = file.read_text()
    before, inside = text.split("<bndbox>", 1)
    rest = inside.split("</bndbox>", 1)[1]
    turned = "<robndbox><cx>9</cx><cy>9</cy><w>4</w><h>5</h><angle>0.4</angle></robndbox>"
    file.write_text(before + turned + rest)
    (problem,) = errors(voc_boxes(tmp_path / "b"))
    assert "ymax, but a turned box (<robndbox>)" in problem
    assert "Only upright boxes are read" in problem


@pytest.mark.parametrize("end", [" 0", " 2", ""])
def test_files_of_dota_are_refused_by_name(tmp_path, end):
    save_images(tmp_path / "images", MADE)
    for name in MADE:
        lines = [f"10.0 10.0 30.5 12.0 29.0 22.0 9.0 20.0 plane{end}"] * 2
        head = ["imagesource:GoogleEarth", "gsd:0.14"] if end else []
        write(tmp_path / "labelTxt" / f"{name[:-4]}.txt", [*head, *lines])
    with pytest.raises(InputError, match=r"DOTA's files hold turned boxes, four corners each \(10"):
        open_source(tmp_path, truth="boxes")
