"""The source `tool_boxes`: boxes of CreateML, Label Studio, VIA, VoTT, BDD100K, Supervisely, CVAT
and KITTI, as `tool_formats` reads them.

Which of them it is shows at the beginning and the end of the files. A file of all images, or one a
split, names its images; a file an image has its name. Labels are classes in the order of the
alphabet, or as `classes.txt` lists them.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tfvision.data.files.issue import BadSample
from tfvision.data.files.paths import read_bytes
from tfvision.data.files.tree import Tree, list_tree
from tfvision.data.sources.boxes.annotations import (
    Annotations,
    check_found,
    open_samples,
    settle_classes,
    settle_parts,
)
from tfvision.data.sources.boxes.box_files import BoxFiles, box_source
from tfvision.data.sources.boxes.coco import as_sides
from tfvision.data.sources.boxes.tool_formats import FORMATS, Format, ToolImage, image_name
from tfvision.data.sources.boxes.written import (
    UPRIGHT,
    WrittenBox,
    WrittenImage,
    takes_box_options,
)
from tfvision.data.sources.exports.coco_file import ends_of, read_json_file
from tfvision.data.sources.exports.image_beside import ImageBeside
from tfvision.data.sources.exports.image_finder import ImageFinder
from tfvision.data.sources.exports.samples import (
    SPLIT_WORDS,
    Samples,
    counted,
    join,
    listed,
    part_of,
)
from tfvision.errors import InputError

LOOKED_AT = 3  # files of each folder and ending


def sees(tree: Tree) -> str | None:
    """What speaks for boxes of one of these tools; None: nothing does."""
    found = tool_files(tree)
    if found is None:
        return None
    return f"{found[0]} boxes in {listed(found[1], limit=3)}"


def tool_files(tree: Tree) -> tuple[str, list[str]] | None:
    """The tool, and paths of its files; None where there are none."""
    for name, how in FORMATS.items():
        found: list[str] = []
        for folder, names in tree.files.items():
            files = [join(folder, f) for f in names if f.lower().endswith(tuple(how.endings))]
            if any(_shows(tree.root / file, how) for file in files[:LOOKED_AT]):
                found += [file for file in files if _shows(tree.root / file, how, empty=True)]
        if found:
            return name, found
    return None


def _shows(path: Path, how: Format, *, empty: bool = False) -> bool:
    """Whether a file shows a format; where `empty`, also an empty one of a file an image."""
    text = ends_of(path)
    if empty and how.an_image and not text.strip():
        return True
    return all(re.search(pattern, text) for pattern in how.looks)


@takes_box_options
def tool_boxes(path: str | Path, **options: Any) -> BoxFiles:
    """Images with the boxes of an annotation tool; see this module's head.

    Args:
        path: The folder, or the file of annotations, whose folder it then is.
        **options: See `tfvision.data.sources.boxes.written.BoxOptions` and
            `tfvision.data.files.reading.Reading`.

    Raises:
        InputError: No such file, one that cannot be read as what it seems, or annotations of other
            images.
    """
    path = Path(path)
    tree = list_tree(path.parent if path.is_file() else path)
    one = Tree(tree.root, {"": (path.name,)}, of_file=True) if path.is_file() else tree
    found = tool_files(one)
    if found is None:
        raise InputError(f"{path} holds no annotations of {', '.join(FORMATS)}.")
    name, files = found
    how, samples = FORMATS[name], open_samples(tree, options)
    read = {file: _read(tree, file, name, how) for file in files}
    beside, images, lost = ImageBeside(tree), [], []
    for file, of_file in read.items():
        part = part_of(PurePosixPath(file).stem) or part_of(file.rpartition("/")[0])
        names = [image_name(image.name) for image in of_file]
        finder = ImageFinder(tree, names, None, annotations=file, split=part)
        for image, written in zip(of_file, names, strict=True):
            places = beside.find(file) if how.an_image else _find(finder, written)
            place = file if how.an_image else f"{file} ({written})"
            if len(places) != 1:
                lost.append((place, places, len(image.boxes)))
                continue
            boxes = _boxes(samples, image, file, written)
            of_image = SPLIT_WORDS.get(image.part.lower(), "") or part
            images.append(WrittenImage(places[0], place, boxes, image.size, of_image))
    wanted = [image.name or PurePosixPath(file).stem for file, of in read.items() for image in of]
    check_found(len(images), wanted, tree, listed(files, limit=3))
    for place, places, count in lost:
        _not_found(samples, place, places, count)
    settle_parts(images)
    names, labels = settle_classes(samples, images, tree)
    where = files[0] if len(files) == 1 else counted(len(files), "file")
    return box_source(
        Annotations(
            tree,
            path,
            "tool_boxes",
            heading=f"{name} {where}",
            files=files,
            images=images,
            known=how.coordinates,
            classes=labels,
            class_names=names,
            samples=samples,
        ),
        options,
    )


def _read(tree: Tree, file: str, name: str, how: Format) -> list[ToolImage]:
    """The images of a file.

    Raises:
        InputError: It is not what it seems; names the file.
    """
    path = tree.root / file
    try:
        if file.lower().endswith(".json"):
            return list(how.read(read_json_file(path, file)))
        data = read_bytes(path, place=file)
        if file.lower().endswith(".xml"):
            if b"<!ENTITY" in data:
                raise InputError(f"{file} declares entities, which are not read. Export it again.")
            return list(how.read(ElementTree.fromstring(data)))
        words = [line.split() for line in data.decode("utf-8-sig", "replace").splitlines()]
        return list(how.read([line for line in words if line]))
    except BadSample as error:
        if "is empty" in error.problem:
            return [ToolImage("")]
        raise InputError(str(error)) from error
    except ElementTree.ParseError as error:
        raise InputError(f"{file} is no whole XML: {error}. Export it again.") from error
    except InputError:
        raise
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"{file} looks like annotations of {name}, but is none: {type(error).__name__} "
            f"({error}). Export it again, or convert it to COCO JSON."
        ) from error


def _find(finder: ImageFinder, name: str) -> list[str]:
    """The files that a name may mean; uploads to Label Studio have a hash before it."""
    return finder.find(name) or finder.find(re.sub(r"^[0-9a-f]{8}-", "", PurePosixPath(name).name))


def _boxes(samples: Samples, image: ToolImage, file: str, name: str) -> list[WrittenBox]:
    """The boxes of an image; a problem for each that is none."""
    found = []
    for box in image.boxes:
        place = f"{box.what} of {file}" + (f" ({name})" if image.name else "")
        sides = as_sides(box.sides)
        if sides is None or not box.label:
            problem = "has no label" if sides else f"is no upright box ({box.label or 'no label'})"
            advice = "Correct it, or delete it." if sides else f"{UPRIGHT}, or delete it."
            samples.problem("", place, problem, advice)
            continue
        found.append(WrittenBox(place, sides, box.label, box.left_out, box.crowd))
    return found


def _not_found(samples: Samples, place: str, places: Sequence[str], boxes: int) -> None:
    if places:
        problem, advice = f"may be {places[0]} or {places[1]}", "Rename one of them."
    else:
        problem = f"no such image, and {counted(boxes, 'box')} of it"
        advice = "Put the image there, or take the entry out of the annotations."
    samples.problem("", place, problem, advice)
