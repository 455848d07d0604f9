"""What to type where images seem to have no label, and the data shows where labels may be."""

from collections.abc import Sequence
from pathlib import Path

from tfvision.data.files.tree import list_tree
from tfvision.data.sources.boxes.table import box_table
from tfvision.data.sources.boxes.written import KNOWN_OF_BOXES
from tfvision.data.sources.boxes.yolo import yolo_boxes
from tfvision.data.sources.exports.yolo_files import pair
from tfvision.data.sources.folders.labelled_names import counted, propose_pattern
from tfvision.data.sources.source import Source
from tfvision.data.sources.tables.class_table_columns import NoLabelColumn, read_label_rows
from tfvision.data.sources.tables.class_table_images import image_names, label_readings
from tfvision.data.truth import truth_kind
from tfvision.errors import InputError


def check_has_truth(source: Source) -> None:
    """Raises an `InputError` where no sample has a truth and the data shows where it may be."""
    if any(record.labelled for record in source.records):
        return
    kind = truth_kind(source.truth)
    hints = where_labels_may_be(source) if kind.names_image else []
    if "boxes" in kind.targets:  # what is not read may be what says them
        why = why_no_boxes(source.path) if source.path and source.path.is_dir() else []
        hints = [*(f"{note}." for note in source.notes), *why, f"{KNOWN_OF_BOXES}."]
    if hints:
        raise InputError(
            f"{source.layout}: no sample has {kind.one} to train on. " + " ".join(hints)
        )


def why_no_boxes(folder: Path) -> list[str]:
    """What the readers of tables and of text files say of those that a folder holds."""
    tree, said = list_tree(folder), []
    readers = []
    if any(name.lower().endswith((".csv", ".tsv")) for name in tree.files[""]):
        readers.append(box_table)
    if any(pair(tree).texts.values()):
        readers.append(yolo_boxes)
    for reader in readers:
        try:
            name = reader(folder).name
            said.append(f"They can be read: --set data.source.name={name}.")
        except InputError as error:
            said.append(str(error))
    if any(name.lower().endswith((".xls", ".xlsx", ".ods")) for name in tree.files[""]):
        said.append("Save the sheet as a CSV file: a table is read from that.")
    return said


def where_labels_may_be(source: Source) -> list[str]:
    """Sentences on tables that name the images, and on names that look like labels."""
    hints = []
    if source.path is not None:
        hints += tables_not_read(source.path)
    if proposed := propose_pattern(_names(source)):
        pattern, labels = proposed
        hints.append(
            f"The names look like labels: {counted(labels)}. Where they are, type --set "
            f"\"data.source.label_pattern='{pattern}'\"."
        )
    return hints


def tables_not_read(folder: Path) -> list[str]:
    """A sentence on each table that names the images of a folder, without a clear label."""
    sentences = []
    if not folder.is_dir():
        return []
    for table, reading in label_readings(folder).items():
        if reading == "unclear":
            try:
                read_label_rows(table, images=image_names(folder))
            except NoLabelColumn as error:
                sentences.append(str(error))
    return sentences


def _names(source: Source) -> Sequence[str]:
    return [record.id for record in source.records]
