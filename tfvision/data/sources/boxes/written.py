"""Boxes as annotations have them, and the options that say what these are."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

from tfvision.data.files.reading import OF_MASKS, Reading
from tfvision.errors import InputError

COORDINATES = {
    "corners": "x1 y1 x2 y2",
    "sizes": "x y width height",
    "centres": "centre x, centre y, width, height",
    "corners_by_axis": "x1 x2 y1 y2",
    "corners_y_first": "y1 x1 y2 x2",
}
KNOWN_OF_BOXES = (
    "Known: a CSV file of boxes beside its images, a row a box; COCO JSON; Pascal VOC's XML; "
    "YOLO's text files; exports of LabelMe, CreateML, Label Studio, VIA, VoTT, BDD100K, "
    "Supervisely, CVAT and KITTI; the folder that holds any of these with the images"
)
UNITS = ("pixels", "shares")
UPRIGHT = (
    "Only upright boxes are read: write of each the upright box around it, its lowest and highest "
    "x and y"
)
CHOICES = {
    "coordinates": tuple(COORDINATES),
    "units": UNITS,
    "faults": ("mend", "refuse"),
    "conflicts": ("first", "both", "none"),
    "unlisted": ("negatives", "left_out"),
}


@dataclass(frozen=True)
class WrittenBox:
    """A box before anything is made of it.

    Attributes:
        place: For messages: "line 7 of boxes.csv", "annotation 12 of train.json".
        sides: Four finite numbers as they are written.
        label: Its class, as text.
        left_out: Why it is no truth whatever its sides are: "DontCare"; "" where it is one.
        crowd: Whether it holds many objects, so that it is ignored (`tfvision.detection.crowds`).
    """

    place: str
    sides: tuple[float, float, float, float]
    label: str
    left_out: str = ""
    crowd: bool = False


@dataclass
class WrittenImage:
    """An image and its boxes.

    Attributes:
        image: Path below the data set's folder.
        place: What messages call its annotations.
        boxes: In the order of the file.
        size: (H, W) in pixels as the annotations say, or None.
        part, split, group: See `Record`; the part is "" where nothing says one.
    """

    image: str
    place: str
    boxes: list[WrittenBox] = field(default_factory=list)
    size: tuple[int, int] | None = None
    part: str = ""
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class BoxOptions:
    """How boxes are read. Every field is an option `data.source.<field>` of a config.

    Attributes:
        coordinates: What the four numbers of a box are, a name of `COORDINATES`; None: what the
            format or the names of columns say, or what the numbers tell.
        units: "pixels", or "shares" of width and height; None: what the numbers tell.
        annotated_size: The size of the images when they were annotated, where the files have
            another by now: [height, width]; "written": what the annotations say of each image,
            stretched to that of the file; "file": that of the file, whatever they say. None:
            what they say, where the proportions are those of the file.
        faults: What becomes of boxes that are swapped, leave the image, have no area or repeat
            another: "mend" puts right or leaves out what must be, and counts it; "refuse" makes
            an error of each.
        conflicts: Which of boxes with the same sides and different labels count: the "first",
            "both", or "none".
        unlisted: Images beside the annotated ones that no annotation names: "negatives", or
            "left_out"; None: what is usual for the format.
        white, allow_outside_root: As the source `folder` has them.
    """

    coordinates: str | None = None
    units: str | None = None
    annotated_size: Sequence[int] | str | None = None
    faults: str = "mend"
    conflicts: str = "first"
    unlisted: str | None = None
    white: float | None = None
    allow_outside_root: bool = False

    def __post_init__(self):
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value not in (*known, None):
                raise InputError(f"{name} must be one of {', '.join(known)}; got {value!r}.")
        size = self.annotated_size
        if size is None or size in ("file", "written"):
            return
        numbers = not isinstance(size, str) and isinstance(size, Sequence) and len(size) == 2
        if not numbers or not all(isinstance(n, int) and n > 0 for n in size):
            raise InputError(
                "annotated_size must be [height, width], e.g. [480,640], or written, or file; got "
                f"{size!r}."
            )


def takes_box_options(builder: Callable) -> Callable:
    """Declares that the `**options` of a builder are the fields of `BoxOptions` and `Reading`."""
    own = [p for p in inspect.signature(builder).parameters.values() if p.kind is not p.VAR_KEYWORD]
    shared = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type
        )
        for kind in (BoxOptions, Reading)
        for field in fields(kind)
        if field.name not in OF_MASKS
    ]
    builder.__signature__ = inspect.signature(builder).replace(parameters=[*own, *shared])
    return builder


def split_options(options: dict) -> tuple[BoxOptions, Reading]:
    """The `**options` of a builder, taken apart."""
    of_boxes = {field.name for field in fields(BoxOptions)}
    boxes = {key: value for key, value in options.items() if key in of_boxes}
    return BoxOptions(**boxes), Reading(**{k: v for k, v in options.items() if k not in of_boxes})
