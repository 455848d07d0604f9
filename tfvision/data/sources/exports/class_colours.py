"""The source `colour_masks`: images and masks in colours, with a table of classes.

`class_dict.csv` beside the folders has a row a class, in class order:

    name,r,g,b
    road,128,64,128
    sky,70,130,180

or `label_colors.txt`, lines `128 64 128 road`, as CamVid has it. Images and masks are found as the
source `folder` finds them.
"""

from pathlib import Path

from tfvision.data.files.csv_table import read_cells
from tfvision.data.files.pixels import Colour
from tfvision.data.files.reading import OF_MASKS, takes_reading
from tfvision.data.files.tree import Tree
from tfvision.data.sources.exports.samples import lines_of, listed, numbered, open_tree
from tfvision.data.sources.file_source import FileSource
from tfvision.data.sources.folders.mask_folder import folder
from tfvision.errors import InputError

COLUMNS = {
    "name": ("name", "class", "label", "class_name", "label_name", "category"),
    "r": ("r", "red"),
    "g": ("g", "green"),
    "b": ("b", "blue"),
}
NO_CLASS = ("void", "ignore", "ignored", "unlabeled", "unlabelled", "border")
LISTS = ("label_colors.txt", "label_colours.txt")
MANY = 20  # tables at the root: none of them is a table of classes


def sees(tree: Tree) -> str | None:
    """What speaks for this layout; None: nothing does."""
    tables = class_tables(tree)
    return f"colours of classes in {tables[0]}" if tables else None


def class_tables(tree: Tree) -> list[str]:
    """The CSV files at the root whose header has a name and three colours, `label_colors.txt`."""
    if tree.of_file:
        return []
    lists = [name for name in tree.files[""] if name.lower() in LISTS]
    names = [name for name in tree.files[""] if name.lower().endswith((".csv", ".tsv"))]
    tables = [name for name in names[:MANY] if _columns(_header(tree.root / name)) is not None]
    return [*tables, *lists]


def _header(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            line = file.readline(4096).decode("utf-8-sig", "replace")
    except OSError:
        return []
    for separator in ",;\t|":
        line = line.replace(separator, ",")
    return [cell.strip().strip('"') for cell in line.split(",")]


def _columns(header: list[str]) -> dict[str, int] | None:
    """Where name, r, g and b stand in a header; None where one of them does not."""
    cells = [cell.strip().casefold() for cell in header]
    found = {
        column: next((cells.index(name) for name in names if name in cells), None)
        for column, names in COLUMNS.items()
    }
    if any(at is None for at in found.values()):
        return None
    return {column: at for column, at in found.items() if at is not None}


def read_class_table(path: Path) -> tuple[list[str], dict[Colour, int]]:
    """The names of the classes in the order of the rows, and the label of each colour.

    Raises:
        InputError: Names the line with a colour that is none, or a name or colour that is
            there twice.
    """
    names: list[str] = []
    palette: dict[Colour, int] = {}
    for line, cells in _rows(path):
        try:
            name, *colours = cells
            red, green, blue = map(int, colours)
        except ValueError as error:
            raise InputError(
                f"{path}, line {line} is {','.join(cells)!r}; it must be a name and three whole "
                "numbers r, g, b."
            ) from error
        colour = (red, green, blue)
        if not all(0 <= value <= 255 for value in colour):
            raise InputError(f"{path}, line {line}: the colour {colour} must be of 0 to 255.")
        if not name or name in names or colour in palette:
            what = "has no name" if not name else "repeats a name or a colour"
            raise InputError(f"{path}, line {line} {what}: {','.join(cells)}. Keep one.")
        palette[colour] = len(names)
        names.append(name)
    if len(names) < 2:
        raise InputError(f"{path} must list two classes or more; found {len(names)}.")
    return names, palette


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line, and name, r, g, b of each class; fewer cells where a line has fewer."""
    if path.suffix.lower() == ".txt":
        lines = enumerate(lines_of(path, path.name), 1)
        cells = [(line, text.split(maxsplit=3)) for line, text in lines]
        return [(line, [*found[3:], *found[:3]]) for line, found in cells]
    rows = read_cells(path)
    columns = _columns(rows[0][1]) if rows else None
    if columns is None:
        raise InputError(f"{path}: the header must name name, r, g and b.")
    places = [columns[column] for column in ("name", "r", "g", "b")]
    return [(line, [cells[at] for at in places if at < len(cells)]) for line, cells in rows[1:]]


@takes_reading(without=OF_MASKS)
def colour_masks(
    path: str | Path,
    *,
    classes: str | None = None,
    white: float | None = None,
    allow_outside_root: bool = False,
    **reading,
) -> FileSource:
    """Images and colour masks with a table of classes; see this module's head.

    Args:
        path: The folder.
        classes: The table, a path below the folder; by default the one found at its root.
        white, allow_outside_root, **reading: As `folder` has them.

    Raises:
        InputError: No table or several, a row that does not fit, or folders that are unknown.
    """
    path, tree = open_tree(path)
    tables = class_tables(tree) if classes is None else [classes]
    if not tables:
        raise InputError(f"{path} holds no table of classes: class_dict.csv with name,r,g,b.")
    if len(tables) > 1:
        raise InputError(
            f"{path} holds the tables {listed(tables)}: which one is meant? Write --set "
            f"data.source.name=colour_masks --set data.source.classes={tables[0]}."
        )
    names, palette = read_class_table(path / tables[0])
    source = folder(
        path,
        mask_palette=palette,
        reads_also=tables,
        white=white,
        allow_outside_root=allow_outside_root,
        **reading,
    )
    source.name, source.class_names = "colour_masks", names
    source.layout += f"; colours of {tables[0]} ({numbered(names)})"
    for label, name in enumerate(names):
        if name.lower() in NO_CLASS:
            source.notes.append(
                f"{name} counts as a class; --set data.ignore_label={label} makes it no label"
            )
    return source
