"""Which source a path is: recognised by what is there, and stated.

Every layout has a line in `LAYOUTS`: its source, the kind of truth it brings, and a function
that looks at the names below the path and says what speaks for it. Of the readings of the truth
that is asked for, those of a file of annotations beat those of names alone; two that are equally
good are an error that names both and what to type.
"""

import difflib
import importlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tfvision.data import SOURCES
from tfvision.data.files.images import EXTENSIONS
from tfvision.data.files.tree import Tree, list_tree
from tfvision.data.sources.boxes.written import KNOWN_OF_BOXES
from tfvision.data.sources.folders.class_folder_checks import MEANT
from tfvision.data.sources.npz_folder import check_no_npz_folder
from tfvision.data.sources.source import Source
from tfvision.data.sources.tables.unlabelled import tables_not_read
from tfvision.data.sources.unread import ARCHIVES, COMMANDS, extension, how_to_convert
from tfvision.data.truth import truth_kind
from tfvision.errors import InputError
from tfvision.registry import Spec

KNOWN = {
    "masks": (
        "Known: a folder with images/ and masks/, or with other folders that pair up by names; a "
        "folder with train/, val/ and test/; a folder of img_1.png, mask_1.png, ...; an export of "
        "an annotation tool: COCO JSON, LabelMe, YOLO polygons, Pascal VOC, nnU-Net, Cityscapes, a "
        "folder an image with a mask file an object, colour masks with class_dict.csv; a folder of "
        "images, or one image, without masks; an npz "
        "file with images and masks, x and y, or training_set and test_set; a CSV file with the "
        "columns image, mask, split, group"
    ),
    "label": (
        "Known: a folder of images for each class; train/, val/ and test/ with these; a CSV file "
        "of file names and labels, or the folder that holds it; an npz file with images and "
        "labels, x and y; a folder of images, or one image, without labels"
    ),
    "boxes": f"{KNOWN_OF_BOXES}; a folder of images, or one image, without boxes",
}

PACKAGE = "tfvision.data.sources"


@dataclass(frozen=True)
class Layout:
    """One way in which data lie.

    Attributes:
        source: Who reads it, a name in `SOURCES`.
        truth: The kind of truth it brings.
        sees: `"module:function"` below `PACKAGE`, a function of a `Tree` that says what speaks
            for this layout, in a few words for messages; None where nothing does. It reads no
            more than names and the beginning of a small file. "": it must be declared.
        certain: Whether a file of annotations, or the structure of an export, speaks for itself.
        last: Whether nearly any folder can be read so: holds only where no other reading of
            its truth does, and no certain one of another truth.
        declared_by: Arguments of the source that only this layout has: where one is given,
            nothing is left to be recognised.
    """

    source: str
    truth: str
    sees: str
    certain: bool = False
    last: bool = False
    declared_by: tuple[str, ...] = ()

    @property
    def strength(self) -> int:
        """Of two readings the stronger one holds: 2 certain, 1 by names, 0 last."""
        return 2 if self.certain else 0 if self.last else 1


LAYOUTS = (
    Layout("folder", "masks", "folders.mask_folder:sees", declared_by=("images", "masks")),
    Layout("manifest", "masks", "tables.mask_table:sees", certain=True),
    Layout("manifest", "masks", "tables.mask_table:sees_in_folder", last=True),
    Layout("run_length_table", "masks", "tables.run_length_table:sees", certain=True),
    Layout("coco_masks", "masks", "exports.coco:sees", certain=True),
    Layout("labelme", "masks", "exports.labelme:sees", certain=True),
    Layout("labelme", "masks", "exports.labelme:sees_rectangles"),
    Layout("yolo_polygons", "masks", "exports.yolo_polygons:sees", certain=True),
    Layout("yolo_polygons", "masks", "exports.yolo_polygons:sees_mixed"),
    Layout("voc_masks", "masks", "exports.voc_export:sees", certain=True),
    Layout("nnunet", "masks", "exports.nnunet:sees", certain=True),
    Layout("cityscapes", "masks", "exports.cityscapes:sees", certain=True),
    Layout("object_masks", "masks", "exports.object_masks:sees", certain=True),
    Layout("colour_masks", "masks", "exports.class_colours:sees", certain=True),
    Layout("npz", "masks", "npz:sees_masks", certain=True),
    Layout("npz", "label", "npz:sees_labels", certain=True),
    Layout("label_table", "label", "tables.class_table_images:sees", certain=True),
    Layout("label_tables", "label", "tables.class_table_parts:sees", certain=True),
    Layout("class_folder", "label", "folders.class_folder:sees_regions"),
    Layout("class_folder", "label", "folders.class_folder:sees", last=True),
    Layout("box_table", "boxes", "boxes.table:sees", certain=True),
    Layout("box_table", "boxes", "boxes.table:sees_any"),
    Layout("coco_boxes", "boxes", "boxes.coco:sees", certain=True),
    Layout("coco_boxes", "boxes", "boxes.coco:sees_any"),
    Layout("voc_boxes", "boxes", "boxes.voc:sees", certain=True),
    Layout("voc_boxes", "boxes", "boxes.voc:sees_any"),
    Layout("yolo_boxes", "boxes", "boxes.yolo:sees", certain=True),
    Layout("yolo_boxes", "boxes", "boxes.yolo:sees_any"),
    Layout("labelme_boxes", "boxes", "boxes.labelme:sees", certain=True),
    Layout("labelme_boxes", "boxes", "boxes.labelme:sees_any"),
    Layout("tool_boxes", "boxes", "boxes.tools:sees", certain=True),
    Layout("labelled_names", "label", "", declared_by=("label_pattern",)),
)
ALONE = {"masks": "folder", "label": "class_folder", "boxes": "folder"}
"""What reads images without any truth, or one image."""
TABLE = {"masks": "manifest", "label": "label_table", "boxes": "box_table"}
"""Whose words tell what is wrong with a table that no layout knows."""


@dataclass(frozen=True)
class Seen:
    """A layout, and what speaks for it."""

    layout: Layout
    words: str


class OtherTruth(InputError):
    """A data set brings another kind of truth than the one that is read.

    Attributes:
        beginning: The message without its full stop: who knows the tasks can say more.
        truth: The kind it brings.
        otherwise: What to type where it does not; "" where it surely does.
    """

    def __init__(self, beginning: str, truth: str, otherwise: str = ""):
        super().__init__(f"{beginning}. {otherwise}".rstrip())
        self.beginning, self.truth, self.otherwise = beginning, truth, otherwise


def open_source(
    path: str | Path, *, truth: str | None = "masks", truth_needed: bool = True, **options
) -> Source:
    """The source that reads `path`.

    Args:
        path: A folder, an npz file, a CSV file, or an image.
        truth: The kind of truth that is read, see `tfvision.data.truth`; None: `truth_in` tells.
        truth_needed: Whether data with another kind of truth are refused; else their images are
            read without truth.
        **options: Arguments of the source in question; None: left to it.

    Raises:
        OtherTruth: The data set brings another kind of truth.
        InputError: Nothing there, or nothing known; says what was found and what is known.
            Also an argument that the source in question does not take, and a folder that
            may not be read.
    """
    path = Path(path)
    given = {key: value for key, value in options.items() if value is not None}
    try:
        declared = _by_columns(given, truth)
        truth = truth or truth_in(path, source=declared or "auto", given=given)
        name = declared or recognise(path, truth=truth, truth_needed=truth_needed, given=given)
        source = SOURCES.build(Spec(name=name, path=path, **given))
        if not any(record.labelled for record in source.records):
            source.truth = truth  # images alone are read for any
        if truth_kind(source.truth).names_image and source.name == "class_folder":
            source.notes += tables_not_read(path)
        if source.truth != truth:
            raise OtherTruth(_looks_like(path, source.truth), source.truth)
        return source
    except OSError as error:
        raise InputError(
            f"{error.filename or path} cannot be read ({error.strerror}). Make it readable "
            "(chmod u+rx for folders, u+r for files), or check the disk."
        ) from error


def _by_columns(options: Mapping, truth: str | None) -> str | None:
    """The table that the option `columns` speaks of, whatever it looks like; None: none."""
    keys = options.get("columns") or {}
    if keys and truth == "boxes":
        return TABLE[truth]
    tables = {"runs": "run_length_table", "label": "label_table", "file": "manifest"}
    return next((source for key, source in tables.items() if key in keys), None)


def recognise(
    path: Path, *, truth: str = "masks", truth_needed: bool = True, given: Collection[str] = ()
) -> str:
    """The name of the source that reads a kind of truth from `path`.

    Args:
        path, truth, truth_needed: As `open_source` has them.
        given: Names of the arguments that the source is to have.

    Raises:
        OtherTruth: The data set brings another kind of truth, and `truth_needed`.
        InputError: Nothing there, nothing known, or two equally good readings.
    """
    tree = _tree_of(path, truth)
    if declared := [x for x in LAYOUTS if not path.is_file() and {*x.declared_by} & {*given}]:
        return declared[0].source
    own = _look(tree, [x for x in LAYOUTS if x.truth == truth], careful=truth_needed)
    if truth_needed and (not own or own[0].layout.last):
        others = _look(tree, [x for x in LAYOUTS if x.truth != truth], careful=not own)
        others = [seen for seen in others if not own or seen.layout.certain]
        if others:
            best = others[0]
            beginning = f"{_looks_like(path, best.layout.truth)} ({best.words})"
            by_names = truth == "label" and best.layout.strength == 1 and path.is_dir()
            raise OtherTruth(beginning, best.layout.truth, MEANT if by_names else "")
    if own:
        return _one_of(own, path).layout.source
    check_no_npz_folder(tree)
    return _without_truth(path, truth)


def truth_in(path: str | Path, *, source: str = "auto", given: Collection[str] = ()) -> str:
    """The kind of truth that a data set's layout speaks for; "masks" where it does for none.

    Args:
        path: The data set.
        source: The name of its source, where that is declared.
        given: Names of the arguments that the source is to have.

    Raises:
        InputError: The path does not exist, or two kinds are equally likely.
    """
    truths = truths_in(path, source=source, given=given)
    return next(iter(truths), "masks")


def truths_in(
    path: str | Path, *, source: str = "auto", given: Collection[str] = ()
) -> dict[str, str]:
    """Each kind of truth that data can be read as, the likeliest first, and what speaks for it.

    Args, Raises: As `truth_in` has them.
    """
    path = Path(path)
    tree = _tree_of(path, "masks")
    known = [x for x in LAYOUTS if source == x.source or set(x.declared_by) & set(given)]
    if len({layout.truth for layout in known}) == 1:
        return {known[0].truth: known[0].source}
    seen = _look(tree, known or LAYOUTS)
    if not seen:
        return {}
    masks = any(one.layout.source == ALONE["masks"] for one in seen)  # mask files beside boxes
    best = _one_of([x for x in seen if not masks or x.layout.truth != "boxes"], path)
    others = [one for one in seen if not one.layout.last and one.layout.truth != best.layout.truth]
    return {one.layout.truth: one.words for one in (best, *others)}


def _look(tree: Tree, layouts: Iterable[Layout], *, careful: bool = True) -> list[Seen]:
    """What can be seen in a tree, the strongest first.

    Args:
        tree: What lies below the path.
        layouts: Those to look for.
        careful: Whether doubts count.

    Raises:
        InputError: A layout is in doubt about what it sees, and no stronger one is seen.
    """
    found, doubts = [], []
    for layout in (layout for layout in layouts if layout.sees):
        module, _, function = layout.sees.partition(":")
        try:
            words = getattr(importlib.import_module(f"{PACKAGE}.{module}"), function)(tree)
        except InputError as error:
            doubts.append((layout.strength, error))
            continue
        if words is not None:
            found.append(Seen(layout, words))
    best = max((seen.layout.strength for seen in found), default=-1)
    for strength, error in doubts:
        if careful and strength >= best:
            raise error
    return sorted(found, key=lambda seen: -seen.layout.strength)


def _one_of(found: list[Seen], path: Path) -> Seen:
    """The strongest reading.

    Raises:
        InputError: Another is as strong.
    """
    best = [seen for seen in found if seen.layout.strength == found[0].layout.strength]
    if len(best) == 1:
        return best[0]
    readings = " or ".join(
        f"{truth_kind(seen.layout.truth).of_data} ({seen.words})" for seen in best
    )
    typed = " or ".join(f"--set data.source.name={seen.layout.source}" for seen in best)
    raise InputError(f"{path} can be read as {readings}. Say which is meant: {typed}.")


def _tree_of(path: Path, truth: str) -> Tree:
    """The names below a path; a file is a tree of its own name."""
    if path.is_dir():
        return list_tree(path)
    if not path.exists():
        raise InputError(f"{path} does not exist.{_near(path)} {KNOWN[truth]}.")
    if not path.is_file():
        raise InputError(f"{path} is a pipe or a device. {KNOWN[truth]}.")
    return Tree(path.parent, {"": (path.name,)}, of_file=True)


def _without_truth(path: Path, truth: str) -> str:
    """What reads a path in which no layout with truth is seen."""
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in EXTENSIONS:
        return ALONE[truth]
    if suffix in (".csv", ".tsv"):
        return TABLE[truth]
    if extension(path.name) in {*ARCHIVES, *COMMANDS}:
        raise InputError(f"{path} is not read as it is. {how_to_convert([path.name])}")
    with path.open("rb") as file:
        start = file.read(16)
    if suffix == ".npz" or start.startswith(b"PK\x03\x04"):
        return "npz"
    text = start.decode("latin-1").encode("unicode_escape").decode("ascii")
    raise InputError(
        f"{path} is no data set that is known: it starts with '{text}'. {KNOWN[truth]}."
    )


def _looks_like(path: Path, truth: str) -> str:
    return f"{path} looks like data with {truth_kind(truth).of_data}"


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f" Its folder {path.parent} does not exist either."
    names = [sibling.name for sibling in path.parent.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {path.parent / close[0]}?" if close else ""
