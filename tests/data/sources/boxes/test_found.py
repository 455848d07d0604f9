"""Which image, which class and which part boxes are of, where names do not say it at once."""

import json
from pathlib import Path

import pytest

from tests.data.sources.boxes.made import (
    coco,
    errors,
    label_studio,
    said,
    same,
    save_images,
    scenes,
    voc,
    voc_text,
    write,
    write_json,
    yolo,
    yolo_lines,
)
from tfvision.data.sources.boxes.coco import coco_boxes
from tfvision.data.sources.boxes.table import box_table
from tfvision.data.sources.boxes.tools import tool_boxes
from tfvision.data.sources.boxes.voc import voc_boxes
from tfvision.data.sources.boxes.yolo import yolo_boxes
from tfvision.data.sources.recognise import open_source
from tfvision.data.sources.tables.unlabelled import check_has_truth
from tfvision.errors import InputError

MADE = scenes(10)
NUMBERS = {"ant": 0, "bee": 1}


def labels(folder: Path, made, numbers=NUMBERS, ending: str = ".txt", behind: str = "") -> None:
    for name, boxes in made.items():
        text = "".join(f"{line}{behind}\n" for line in yolo_lines(boxes, numbers))
        write(folder / f"{name[:-4]}{ending}", text)


# ---------------------------------------------------------------- images


def test_masks_beside_the_xml_are_not_its_images(tmp_path):
    voc(tmp_path, MADE)
    (tmp_path / "Annotations").rename(tmp_path / "xmls")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "xmls").rename(tmp_path / "annotations" / "xmls")
    save_images(tmp_path / "annotations" / "masks", scenes(10, seed=3))
    for path in (tmp_path / "JPEGImages").iterdir():
        path.rename(path.with_suffix(".bmp"))
    for path in (tmp_path / "annotations" / "xmls").iterdir():
        path.write_text(path.read_text().replace(".png", ".bmp"))
    read = {record.place for record in voc_boxes(tmp_path).records}
    assert read == {f"JPEGImages/{name[:-4]}.bmp" for name in MADE}


def test_two_annotations_of_one_image_are_both_named(tmp_path):
    voc(tmp_path, MADE)
    write(tmp_path / "older" / "s03.xml", voc_text(MADE["s04.png"], name="s03.png"))
    both = "Annotations/s03.xml and older/s03.xml are both of JPEGImages/s03.png; so .* 1 image"
    with pytest.raises(InputError, match=both):
        voc_boxes(tmp_path)


def test_xml_of_which_name_and_filename_are_two_images_is_refused(tmp_path):
    voc(tmp_path, MADE)
    names, xmls = list(MADE), tmp_path / "Annotations"
    for name, inner in zip(names, names[1:] + names[:1], strict=True):
        write(xmls / f"{name[:-4]}.xml", voc_text(MADE[inner], name=inner))
    with pytest.raises(InputError, match=r"10 files .* both are there .*s01.png in .*s00.xml"):
        voc_boxes(tmp_path)
    for name in names:  # the same one in all, as copied
        write(xmls / f"{name[:-4]}.xml", voc_text(MADE[name], name=names[0]))
    assert same(voc_boxes(tmp_path), MADE)


@pytest.mark.parametrize("reader", [coco_boxes, box_table])
def test_names_in_other_capitals(tmp_path, reader):
    coco(tmp_path, MADE)
    if reader is box_table:
        rows = [f"{n},{','.join(map(str, b))}" for n, bs in MADE.items() for b in bs]
        write(tmp_path / "boxes.csv", ["image,x1,y1,x2,y2,label", *rows])
    for path in (tmp_path / "images").iterdir():
        path.rename(path.with_name(path.name.replace("s", "S").replace(".png", ".PNG")))
    assert same(
        reader(tmp_path), {n.replace("s", "S").replace("png", "PNG"): b for n, b in MADE.items()}
    )


def test_predictions_beside_coco_annotations_are_not_these(tmp_path):
    coco(tmp_path, MADE)
    row = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9}
    write_json(tmp_path / "results.json", [row] * 5)
    assert same(coco_boxes(tmp_path), MADE)
    (tmp_path / "annotations.json").unlink()
    with pytest.raises(InputError, match=r"results.json holds a list, COCO is a JSON object"):
        coco_boxes(tmp_path)


def test_tasks_that_were_skipped_or_not_annotated_are_no_images_without_boxes(tmp_path):
    label_studio(tmp_path, MADE)
    path = tmp_path / "project-1.json"
    tasks = json.loads(path.read_text())
    tasks[2]["annotations"][0]["was_cancelled"] = True
    tasks[4]["annotations"] = []
    write_json(path, tasks)
    source = tool_boxes(tmp_path)
    assert {*MADE} - {r.place.rpartition("/")[2] for r in source.records} == {"s02.png", "s04.png"}
    assert "2 images beside the annotated ones" in said(source)


PLACES = {  # folder of images, of labels, and the ending of label files
    "capitals": ("Images", "Labels", ".TXT"),
    "other words": ("photos/day", "yolo", ".txt"),
    "the whole name": ("images", "labels", ".png.txt"),
    "deeper images": ("images/train", "labels", ".txt"),
}


@pytest.mark.parametrize("name", PLACES)
def test_yolo_labels_belong_to_the_images_of_their_names(tmp_path, name):
    images, texts, ending = PLACES[name]
    save_images(tmp_path / images, MADE)
    labels(tmp_path / texts, MADE, ending=ending)
    write(tmp_path / "classes.txt", "\ufeffant\nbee\n")
    assert same(open_source(tmp_path, truth="boxes"), MADE)


def test_yolo_labels_of_two_folders_for_one_image_are_not_chosen_from(tmp_path):
    save_images(tmp_path / "photos", MADE)
    labels(tmp_path / "new", MADE)
    labels(tmp_path / "old", scenes(10, seed=1))
    with pytest.raises(InputError, match="none of them is below"):
        open_source(tmp_path, truth="boxes")


def test_yolo_labels_elsewhere_of_two_images_of_their_name_are_not_guessed(tmp_path):
    for part, seed in (("train", 0), ("val", 4)):
        save_images(tmp_path / part / "photos", scenes(6, seed=seed))
        labels(tmp_path / part / "txt", scenes(6, seed=seed))
    assert {(r.place.split("/")[0], r.split) for r in yolo_boxes(tmp_path).records} == {
        *(("train", "train"), ("val", "val"))
    }
    save_images(tmp_path / "train" / "drawn", scenes(6, seed=9))
    with pytest.raises(InputError, match="none of them is below"):
        yolo_boxes(tmp_path)


# ---------------------------------------------------------------- classes


@pytest.mark.parametrize("places", [("a.yaml", "data.yaml"), ("x/data.yaml", "y/data.yaml")])
def test_yolo_files_that_name_classes_differently_are_both_named(tmp_path, places):
    yolo(tmp_path, MADE)
    (tmp_path / "data.yaml").unlink()
    for place, names in zip(places, ("[ant, bee]", "[bee, ant]"), strict=True):
        write(tmp_path / place, f"names: {names}\n")
    with pytest.raises(
        InputError, match=rf"{places[0]} and {places[1]} name .* number 0 is 'ant' and"
    ):
        yolo_boxes(tmp_path)


@pytest.mark.parametrize("valid", ["ant", "bee\nant", "ant\nbee\nfly"])
def test_yolo_lists_of_classes_may_be_cut_short_but_not_differ(tmp_path, valid):
    made = {f"v{n}": b for n, b in scenes(5, seed=2).items()}
    for part, of_part, names in (("train", MADE, "ant\nbee"), ("valid", made, valid)):
        save_images(tmp_path / part / "images", of_part)
        labels(tmp_path / part / "labels", of_part)
        write(tmp_path / part / "labels" / "classes.txt", names)
    if valid.startswith("bee"):
        with pytest.raises(InputError, match="name the classes differently"):
            yolo_boxes(tmp_path)
    else:
        assert same(yolo_boxes(tmp_path), MADE | made)


@pytest.mark.parametrize("place", ["set/data.yaml", "data/obj.names"])
def test_yolo_names_of_classes_are_found_in_folders(tmp_path, place):
    yolo(tmp_path / "set", MADE)
    (tmp_path / "set" / "data.yaml").unlink()
    write(tmp_path / place, "names: [ant, bee]\n" if "yaml" in place else "ant\nbee\n")
    assert same(yolo_boxes(tmp_path), MADE)


def test_an_empty_line_among_names_of_classes_shifts_none(tmp_path):
    save_images(tmp_path / "images", MADE)
    labels(tmp_path / "labels", MADE, {"ant": 0, "bee": 2})
    write(tmp_path / "classes.txt", "ant\n\nbee\n")
    assert same(yolo_boxes(tmp_path), MADE)
    labels(tmp_path / "labels", MADE)
    with pytest.raises(InputError, match=r"has the class 1; classes.txt names 0 ant, 2 bee"):
        yolo_boxes(tmp_path)


BEHIND = {
    " 0.93 17": "a box and a score and a track",
    " 0.4 0.5 1 0.2 0.3 0": "a box and key points",
    " 0.93": "holds 5 values .* prediction with a score",
}


@pytest.mark.parametrize("behind", BEHIND)
def test_yolo_boxes_with_more_behind_them_are_no_polygons(tmp_path, behind):
    save_images(tmp_path / "images", MADE)
    labels(tmp_path / "labels", MADE, behind=behind)
    with pytest.raises(InputError, match=BEHIND[behind]):
        check_has_truth(open_source(tmp_path, truth="boxes"))


# ---------------------------------------------------------------- parts


def test_yolo_lists_name_images_with_their_folders(tmp_path):
    for folder, seed in (("day", 0), ("night", 5)):
        save_images(tmp_path / "images" / folder, scenes(6, seed=seed))
        labels(tmp_path / "labels" / folder, scenes(6, seed=seed))
    write(tmp_path / "data.yaml", "train: train.txt\nval: val.txt\nnames: [ant, bee]\n")
    names = list(scenes(6))
    write(tmp_path / "train.txt", [f"./images/day/{n}" for n in names])
    write(tmp_path / "val.txt", [f"D:\\set\\images\\night\\{n}" for n in names])
    split = {(r.place.split("/")[1], r.split) for r in yolo_boxes(tmp_path).records}
    assert split == {("day", "train"), ("night", "val")}
    write(tmp_path / "val.txt", [f"./images/night/{n}" for n in names] + ["images/day/s02.png"])
    with pytest.raises(InputError, match=r"train.txt and val.txt both name images/day/s02.png"):
        yolo_boxes(tmp_path)


def test_voc_lists_are_those_of_their_own_folder(tmp_path):
    names = [name[:-4] for name in MADE]
    for year, cut in (("A", 3), ("B", 7)):
        voc(tmp_path / year, scenes(10, seed=cut))
        lists = tmp_path / year / "ImageSets" / "Main"
        write(lists / "train.txt", names[:cut])
        write(lists / "val.txt", names[cut:])
    got = {r.place: r.split for r in voc_boxes(tmp_path).records}
    assert {p for p, split in got.items() if split == "train"} == {
        *(f"A/JPEGImages/{n}.png" for n in names[:3]),
        *(f"B/JPEGImages/{n}.png" for n in names[:7]),
    }
    write(tmp_path / "B" / "ImageSets" / "Main" / "val.txt", names[6:])
    with pytest.raises(InputError, match=r"train.txt and B/.*val.txt both name s06"):
        voc_boxes(tmp_path)


# ---------------------------------------------------------------- numbers


def in_table(root: Path, made, cell) -> Path:
    save_images(root / "images", made)
    rows = [
        ",".join([n, *(f'"{cell(side, at)}"' for at, side in enumerate(b[:4])), b[4]])
        for n, bs in made.items()
        for b in bs
    ]
    return write(root / "boxes.csv", ["image,x1,y1,x2,y2,label", *rows]).parent


def test_boxes_in_percent_are_not_taken_for_pixels(tmp_path):
    made = scenes(20)
    made["s00.png"][0] = (100, 40, 128, 64, "ant")
    root = in_table(tmp_path, made, lambda side, at: 100 * side / (64 if at % 2 else 128))
    save_images(root / "images", made, 160, 320)
    with pytest.raises(InputError, match=r"as percent .*annotated_size=\[100,100\]; .*=file"):
        box_table(root)
    source = box_table(root, annotated_size=[100, 100])
    assert not errors(source)
    first = next(i for i, r in enumerate(source.records) if r.id == "s00")
    assert [250, 100, 320, 160] in source.read(first).boxes.tolist()


def test_a_comma_may_part_thousands_or_decimals(tmp_path):
    root = in_table(tmp_path / "a", MADE, lambda side, at: f"{int(side + 950):,}")
    with pytest.raises(InputError, match=r"'1,0\d\d' beside whole numbers may be 10\d\d or 1.0"):
        box_table(root)
    exact = {n: [(*(s + 0.125 for s in b[:2]), *b[2:]) for b in bs] for n, bs in MADE.items()}
    decimals = in_table(tmp_path / "b", exact, lambda side, at: f"{side:.3f}".replace(".", ","))
    assert same(box_table(decimals), exact)


def test_a_class_that_may_be_the_first_or_the_last_number_is_asked_for(tmp_path):
    made = {n: [(0, *b[1:4], str(7 + k % 2)) for b in bs] for k, (n, bs) in enumerate(MADE.items())}
    save_images(tmp_path / "images", made)
    write(tmp_path / "b.csv", [",".join(map(str, (n, *b))) for n, bs in made.items() for b in bs])
    with pytest.raises(InputError, match="two ways, the class as the first or as the last"):
        open_source(tmp_path, truth="boxes")
    columns = {"file": 0, "label": 5, "box": [1, 2, 3, 4]}
    assert same(open_source(tmp_path, truth="boxes", columns=columns, coordinates="corners"), made)


def test_corners_of_outlines_are_not_taken_for_those_of_boxes(tmp_path):
    save_images(tmp_path / "images", MADE)
    rows = [
        ",".join(map(str, (n, b[0], b[1], b[2], b[1], b[2], b[3], b[0], b[3], b[4])))
        for n, bs in MADE.items()
        for b in bs
    ]
    write(tmp_path / "b.csv", ["image,x1,y1,x2,y2,x3,y3,x4,y4,label", *rows])
    with pytest.raises(
        InputError, match=r"b.csv has turned boxes: the columns x1 .* are four corners"
    ):
        open_source(tmp_path, truth="boxes")


def test_boxes_flat_on_the_edge_of_all_images_are_refused_in_words(tmp_path):
    root = in_table(tmp_path, MADE, lambda side, at: 0 if at % 2 else side)
    with pytest.raises(InputError, match=r"leave their images|can be read in two ways"):
        box_table(root)


UNREAD = {
    "boxes.csv": ("picture;left;right\na;1;2\n", "holds no CSV file with columns of boxes: file"),
    "labels.xlsx": ("PK", "Save the sheet as a CSV file"),
    "labels/s00.txt": ("ant 0.5 0.5 0.1 0.1\n", "line 1 begins with 'ant'; a class number"),
}


@pytest.mark.parametrize("place", UNREAD)
def test_what_no_reader_takes_is_said_in_its_words(tmp_path, place):
    save_images(tmp_path / "images", MADE)
    text, words = UNREAD[place]
    write(tmp_path / place, text)
    with pytest.raises(InputError, match=words):
        check_has_truth(open_source(tmp_path, truth="boxes"))
