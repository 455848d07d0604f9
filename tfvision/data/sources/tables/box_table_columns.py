"""Which columns of a CSV file hold boxes: by their names, or by place.

Corners, sizes and centres have names of their own; one column may hold all four numbers, as a list
or as JSON. Without a header that says it, a column of image names, four columns of numbers and at
most one more are a file, a box and a label.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tfvision.data.files.csv_table import read_cells, to_number
from tfvision.data.files.images import EXTENSIONS
from tfvision.data.sources.boxes.written import UPRIGHT
from tfvision.data.sources.tables.box_cells import EMPTY, boxes_in, is_empty, label_left
from tfvision.data.sources.tables.class_table_header import NAMES, image_of
from tfvision.data.sources.tables.prediction_strings import NAMES as STRINGS
from tfvision.data.sources.tables.prediction_strings import BoxWords, box_words
from tfvision.data.sources.tables.rotated_boxes import turned_columns, turned_lists
from tfvision.errors import InputError

# Names as they are compared: in small letters, of letters and digits alone.
SIDES = {
    "xmin": ("xmin", "x1", "left", "xtl", "minx", "xstart", "x0"),
    "ymin": ("ymin", "y1", "top", "ytl", "miny", "ystart", "y0"),
    "xmax": ("xmax", "x2", "right", "xbr", "maxx", "xend", "x1"),
    "ymax": ("ymax", "y2", "bottom", "ybr", "maxy", "yend", "y1"),
    "x": ("x", "xmin", "left", "x1", "topleftx"),
    "y": ("y", "ymin", "top", "y1", "toplefty"),
    "cx": ("cx", "xcenter", "xcentre", "centerx", "centrex", "xc", "xmid"),
    "cy": ("cy", "ycenter", "ycentre", "centery", "centrey", "yc", "ymid"),
    "w": ("w", "width"),
    "h": ("h", "height"),
}
BEFORE_SIDES = ("bbox", "box", "boundingbox", "roi", "rect", "object", "obj", "gt", "")
"""Words that may stand before the name of a side, as in `Roi.X1`; "" where none does."""
KINDS = {
    "corners": ("xmin", "ymin", "xmax", "ymax"),
    "centres": ("cx", "cy", "w", "h"),
    "sizes": ("x", "y", "w", "h"),
}
LISTS = (
    *("bbox", "box", "bboxes", "boxes", "boundingbox", "boundingboxes", "coordinates", "coords"),
    *("rect", "rectangle", "regionshapeattributes"),
)
LABELS = (*NAMES["label"], "labelname", "categoryname", "objectclass", "object", "type", "name")
OTHERS = {
    "width": ("width", "imagewidth", "imgwidth", "imwidth", "imagew", "imgw"),
    "height": ("height", "imageheight", "imgheight", "imheight", "imageh", "imgh"),
    "split": NAMES["split"],
    "group": NAMES["group"],
    "crowd": ("iscrowd", "isgroupof", "isgroup", "crowd"),
    "attributes": ("regionattributes",),
}
KEYS = ("file", "label", "box", "width", "height", "split", "group")


@dataclass(frozen=True)
class BoxColumns:
    """How a table of boxes is read.

    Attributes:
        places: Key -> column: `file`, and those of `label` and `OTHERS` that are there.
        box: Its four columns, or the one that holds them as a list.
        first: The first line of the rows: 1 after a header, else 0.
        known: What the names say of the four numbers, a name of `COORDINATES`; None: nothing.
        others: What they may be instead.
        said_by: "by column names", "by place" or "as declared".
        by_place: Whether a header says nothing.
        left: The column of labels that is known only as the one that is left; "" where its name
            is known.
        doubt: In which ways the rows can be read, and what to type; "" for one.
        words: The readings of cells that hold boxes word behind word; () for other tables.
        turned: What shows that boxes are turned, so that they are not read; "" for upright ones.
    """

    places: Mapping[str, int]
    box: Sequence[int]
    first: int
    known: str | None
    others: Sequence[str]
    said_by: str
    by_place: bool = False
    left: str = ""
    doubt: str = ""
    words: Sequence[BoxWords] = ()
    turned: str = ""

    def in_cell(self, cell: str) -> list[tuple[float, ...]] | None:
        """The boxes of the one cell that holds those of a row; None: it is none."""
        if not self.words:
            return boxes_in(cell)
        found = self.words[0].boxes(cell)
        return None if found is None else [sides for _, sides in found]


def box_columns(
    path: Path,
    lines: Sequence[tuple[int, list[str]]],
    *,
    images: Mapping[str, str],
    columns: Mapping | None = None,
) -> BoxColumns | None:
    """The reading of a table, or of its first lines; None: it holds no boxes.

    Args:
        path: For messages.
        lines: As `read_cells` has them.
        images: What a cell may hold -> the image that it names.
        columns: Which columns are meant: keys `file`, `label`, `width`, `height`, `split`, `group`
            with a name of the header, or its number from 0; `box` with one or four.

    Raises:
        InputError: A declared column is not there.
    """
    if not lines:
        return None
    header = lines[0][1]
    rows = [cells for _, cells in lines[1:] if len(cells) == len(header)]
    if columns is not None:
        found = _declared(path, header, columns)
        cells = [row[found.box[0]] for row in rows] if len(found.box) == 1 else []
        listed = any(boxes_in(cell) for cell in cells)
        return found if listed else replace(found, words=box_words(cells))
    found = _named(header, rows, images)
    if found is not None:
        return found
    bare = _by_place([header, *rows], images)
    if bare is not None and _names_image(header[bare.places["file"]], images):
        return bare
    below = _by_place(rows, images) if rows else None
    if below is None:
        return None
    return replace(below, first=1, by_place=True)


def check_boxes(path: Path, header: Sequence[str], found: BoxColumns) -> None:
    """Raises an `InputError` where boxes are turned, or rows can be read in two ways."""
    if found.turned:
        raise InputError(f"{path} has turned boxes: {found.turned}. {UPRIGHT}.")
    if found.doubt:
        raise InputError(f"{path}: the rows can be read in {found.doubt}.")
    if len(found.words) > 1:
        raise InputError(
            f"{path}: {header[found.box[0]]} can be read in two ways: {found.words[0]} for each "
            f"box, or {found.words[1]}. Write a row a box, with columns image, xmin, ymin, xmax, "
            "ymax and label."
        )


def box_table_lines(path: Path, images: Mapping[str, str]) -> BoxColumns | None:
    """The reading of a CSV file by its first lines; None: it holds no boxes, or is no table."""
    try:
        return box_columns(path, read_cells(path, head=True), images=images)
    except InputError:
        return None


def several_boxes(path: Path, images: Mapping[str, str]) -> bool:
    """Whether a table gives many of its images several boxes, or some neither box nor label.

    So no table of labels does, which may have one box an image, too.
    """
    found = box_table_lines(path, images)
    if found is None:
        return False
    label = found.places.get("label", found.places["file"])
    of_file: dict[str, set[tuple[str, ...]]] = {}
    negatives = several = 0
    for _, cells in read_cells(path, head=True)[found.first :]:
        if len(cells) <= max(found.box):
            continue
        box = tuple(cells[place] for place in found.box)
        of_file.setdefault(cells[found.places["file"]], set()).add(box)
        negatives += is_empty(box) and not cells[label]
        several += len(box) == 1 and len(found.in_cell(*box) or ()) > 1
    several += sum(len(boxes) > 1 for boxes in of_file.values())
    return 10 * several >= max(1, len(of_file)) or negatives > 0


def _letters(cell: str) -> str:
    return re.sub(r"[\W_]+", "", cell.casefold())


def _named(
    header: Sequence[str], rows: Sequence[Sequence[str]], images: Mapping[str, str]
) -> BoxColumns | None:
    """The columns that names say; None where these name no box or no file."""
    names = [_letters(cell) for cell in header]
    taken: dict[str, int] = {}
    known: str | None = None
    for kind, keys in KINDS.items():
        places = _places(keys, names)
        if places is not None:
            known, taken = kind, places
            break
    box: tuple[int, ...] = tuple(taken.values())
    others: tuple[str, ...] = tuple(KINDS)
    words: list[BoxWords] = []
    lists = ""
    if not box:
        place = next((names.index(name) for name in (*LISTS, *STRINGS) if name in names), None)
        cells = [] if place is None else [row[place] for row in rows]
        if place is not None and names[place] in STRINGS:
            words = box_words(cells)
        told = words or any(boxes_in(cell) for cell in cells)
        lists = "" if told else turned_lists(cells)
        if place is None or not (told or lists):
            return None
        box = (place,)
        as_json = any(cell.strip().startswith("{") for cell in cells)
        known = "sizes" if as_json else None
        others = ("corners", "sizes", "centres", "corners_by_axis", "corners_y_first")
    places = {}
    for key, spellings in {"file": NAMES["file"], **OTHERS, "label": LABELS}.items():
        gone = (*box, *places.values())
        free = [n for n in spellings if n in names and names.index(n) not in gone]
        if free:
            places[key] = names.index(free[0])
    fitting = [i for i in range(len(header)) if i not in box and _column_names(rows, i, images)]
    if fitting and places.get("file") not in fitting:
        places = {key: place for key, place in places.items() if place != fitting[0]}
        places["file"] = fitting[0]
    if "file" not in places:
        return None
    left, doubt = None, ""
    if not {"label", "attributes"} & {*places} and not any(word.label for word in words):
        left, doubt = label_left(header, rows, places, box)
        places |= {} if left is None else {"label": left}
    turned = lists or turned_columns(names, rows, known)
    return BoxColumns(
        *(places, box, 1, known, others, "by column names"),
        left="" if left is None else header[left],
        doubt=doubt,
        words=words,
        turned=turned,
    )


def _places(keys: Sequence[str], names: Sequence[str]) -> dict[str, int] | None:
    """Key -> column, each another one; None where one is not there."""
    found: dict[str, int] = {}
    for key in keys:
        spellings = [before + side for side in SIDES[key] for before in BEFORE_SIDES]
        zero, two = ([before + key[0] + n for before in BEFORE_SIDES] for n in "02")
        if key in ("xmin", "ymin") and {*zero} & {*names} and not {*two} & {*names}:
            spellings = [*zero, *spellings]  # x0 y0 x1 y1
        free = [n for n in spellings if n in names and names.index(n) not in found.values()]
        if not free:
            return None
        found[key] = names.index(free[0])
    return found


def _names_image(cell: str, images: Mapping[str, str]) -> bool:
    return Path(cell).suffix.lower() in EXTENSIONS or image_of(cell, images) is not None


def _column_names(rows: Sequence[Sequence[str]], place: int, images: Mapping[str, str]) -> bool:
    """Whether most cells of a column name images, and not by chance as a number may."""
    cells = [row[place] for row in rows if row[place]]
    named = [cell for cell in cells if _names_image(cell, images)]
    whole = sum(cell.isdigit() for cell in cells)
    return 2 * len(named) > len(cells) and 2 * whole < len(cells) + 1


def _by_place(rows: Sequence[Sequence[str]], images: Mapping[str, str]) -> BoxColumns | None:
    """A column of images, four of numbers side by side, and at most one more."""
    width = len(rows[0])
    files = [i for i in range(width) if _column_names(rows, i, images)]
    if not files or width not in (5, 6):
        return None
    rest = [i for i in range(width) if i != files[0]]
    numbers = [i for i in rest if _is_numbers([row[i] for row in rows])]
    label, doubt = next((i for i in rest if i not in numbers), None), ""
    if len(numbers) == 5:  # the class is a number, too: whole, and one of few
        first, last = (_kinds(rows, i) for i in (numbers[0], numbers[-1]))
        if first < last < 3 * first:  # as few values in the one as in the other
            doubt = "two ways, the class as the first or as the last of five whole numbers: "
            doubt += " or ".join(
                f"--set 'data.source.columns={{file: {files[0]}, label: {one}, box: {box}}}'"
                for one, box in ((numbers[-1], numbers[:4]), (numbers[0], numbers[1:]))
            )
        label = numbers[0] if first < last else numbers[-1]
        numbers.remove(label)
    if len(numbers) != 4 or numbers[-1] - numbers[0] != 3:
        return None
    places = {"file": files[0]} | ({} if label is None else {"label": label})
    others = ("corners", "sizes", "centres")
    return BoxColumns(places, numbers, 0, None, others, "by place", doubt=doubt)


def _is_numbers(cells: Sequence[str]) -> bool:
    given = [cell for cell in cells if cell.casefold() not in EMPTY]
    return bool(given) and all(to_number(cell) is not None for cell in given)


def _kinds(rows: Sequence[Sequence[str]], place: int) -> int:
    """How many different values a column has; more than all rows where some are no whole ones."""
    cells = {row[place] for row in rows} - {""}
    whole = all((to_number(cell) or 0.0).is_integer() for cell in cells)
    return len(cells) if whole else len(rows) + 1


def _declared(path: Path, header: Sequence[str], columns: Mapping) -> BoxColumns:
    """The reading that the user declares."""
    folded = [cell.casefold() for cell in header]

    def place_of(key: str, name: object) -> int:
        if isinstance(name, int) and 0 <= name < len(header):
            return name
        if str(name).casefold() in folded:
            return folded.index(str(name).casefold())
        raise InputError(f"{path} has no column {name!r} ({key}). It has {', '.join(header)}.")

    unknown = [key for key in columns if key not in KEYS]
    if unknown or not {"file", "box"} <= {*columns}:
        raise InputError(
            f"columns must hold file and box, and may hold {', '.join(KEYS[1:])}; got "
            f"{', '.join(map(str, columns))}. E.g. {{file: NAME, label: NAME, box: [NAME, NAME, "
            "NAME, NAME]}."
        )
    box = columns["box"] if isinstance(columns["box"], list | tuple) else [columns["box"]]
    if len(box) not in (1, 4):
        raise InputError(f"columns: box must be one column, or four; got {columns['box']!r}.")
    places = {key: place_of(key, name) for key, name in columns.items() if key != "box"}
    by_number = all(isinstance(name, int) for name in (*box, columns["file"]))
    others = ("corners", "sizes", "centres", "corners_by_axis", "corners_y_first")
    sides = [place_of("box", name) for name in box]
    return BoxColumns(places, sides, int(not by_number), None, others, "as declared")
