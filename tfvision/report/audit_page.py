"""The page of an audit: one HTML file with pictures of what was found, and no script.

As in the report of a run, a content security policy forbids every request, and all texts
are escaped by the template.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.files import write_bytes
from tfvision.report import tables
from tfvision.report.audit_boxes import BoxPicture
from tfvision.report.boxes import box_colours
from tfvision.report.overlay import HATCH, hex_colours, palette, png_uri

MAX_SHOWN = 12  # pictures of one finding
MAX_PICTURES = 480  # of all findings
MAX_IDS = 60  # written out for one finding; audit.json has all
MAX_ISSUES = 200
BUDGET = 12_000_000  # characters of all pictures
_SIDES = (256, 192, 128, 96)  # longer side of a picture, in pixels


@dataclass
class Member:
    """One sample of a finding: `id`, `part` and `split` as texts, whether it is
    suspected, the label of a classification or what else is said of it, and the rows of the
    boxes that are meant, () for all."""

    index: int
    id: str
    part: str
    split: str
    suspect: bool
    label: str = ""
    rows: tuple[int, ...] = ()

    @property
    def picture(self) -> tuple[int, tuple[int, ...]]:
        """What tells its picture from others."""
        return self.index, self.rows


@dataclass
class Shown:
    """One finding on the page.

    Attributes:
        title: What it is, in words.
        severity: "error", "warning" or "note".
        reading: What is probably wrong, and why.
        members: All samples that take part, suspects first.
        evidence: Names and values.
    """

    title: str
    severity: str
    reading: str
    members: list[Member]
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass
class AuditPage:
    """Everything the page shows, as plain Python.

    Attributes:
        name: Of the data set.
        layout: One sentence.
        facts: Name -> text, such as sizes and storage modes.
        parts: {part, split, samples, labelled} each.
        class_names: The classes.
        class_pixels, class_images: Of each split, K counts over the labelled samples; pixels, or
            what `counted` says.
        labelled: Labelled samples of each split.
        findings: Worst first.
        issues: {severity, id, place, problem, advice} of the scan.
        notes: Lines.
        proposed: How many samples the exclude list holds.
        command: What a training that leaves these out is started with, or "".
        truth: What the truth of a sample is called: "mask", "label", "boxes".
        of_images: Whether a class is of the whole image.
        class_pieces: Of each split, K counts of the components of the images' regions.
        samples: A few, to show how the data are read.
        counted: "pixels", "images" or "boxes".
        section: A section more, as HTML, or "".
    """

    name: str
    layout: str
    facts: dict[str, str]
    parts: list[dict[str, Any]]
    class_names: list[str]
    class_pixels: dict[str, list[int]]
    class_images: dict[str, list[int]]
    labelled: dict[str, int]
    findings: list[Shown]
    issues: list[dict[str, Any]]
    notes: list[str]
    proposed: int = 0
    command: str = ""
    truth: str = "mask"
    of_images: bool = False
    class_pieces: dict[str, list[int]] = field(default_factory=dict)
    samples: list[Member] = field(default_factory=list)
    counted: str = "pixels"
    section: str = ""


Picture = tuple[np.ndarray, np.ndarray | None] | BoxPicture


def write_audit_page(path: Path, page: AuditPage, picture: Callable[[int], Picture | None]) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: The file.
        page: What it says.
        picture: Index of a sample -> its image (H, W, 1 or 3) uint8 and its mask (H, W) of
            class numbers, or None without one, or it with its boxes; None where it cannot be
            read.

    Raises:
        EnvironmentFault: The file can't be written.
    """
    write_bytes(Path(path), render(page, picture).encode("utf-8", errors="backslashreplace"))


def render(page: AuditPage, picture: Callable[[int], Picture | None]) -> str:
    """The page as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for formatter in (tables.percent, tables.count):
        environment.filters[formatter.__name__] = formatter
    shown = [_choose(finding, share) for finding, share in _shares(page.findings)]
    wanted = dict.fromkeys(m.picture for members in (page.samples, *shown) for m in members)
    read = {index: picture(index) for index, _ in wanted}
    number = len(page.class_names)
    uris = _draw({(i, rows): _around(read[i], rows) for i, rows in wanted}, number)
    colours = (box_colours if page.counted == "boxes" else hex_colours)(number) if number else []
    return environment.get_template("audit.html").render(
        page=page,
        findings=[
            {
                "finding": finding,
                "pictures": [(member, uris[member.picture]) for member in members],
                "ids": finding.members[:MAX_IDS],
                "evidence": tables.flatten(_short(finding.evidence)),
            }
            for finding, members in zip(page.findings, shown, strict=True)
        ],
        classes=[
            {"index": index, "name": name, "colour": colour}
            for index, (name, colour) in enumerate(zip(page.class_names, colours, strict=True))
        ],
        shares=tables.pixel_shares(page.class_pixels),
        pieces=tables.pixel_shares(page.class_pieces),
        truth=page.truth,
        issues=page.issues[:MAX_ISSUES],
        samples=[(member, uris[member.picture]) for member in page.samples],
    )


def _around(picture: Picture | None, rows: Sequence[int]) -> Picture | None:
    """What a finding on some of the boxes shows of a picture."""
    return picture.of(rows) if rows and isinstance(picture, BoxPicture) else picture


def outlined(image: np.ndarray, mask: np.ndarray | None, num_classes: int, side: int) -> np.ndarray:
    """The image with the borders of its mask.

    A region is drawn around on its own side of a border: of two classes the one of the
    higher number, in its colour; the other side is darkened, so that a colour is seen on
    any image. The picture's edge is a border too, so that a mask of one
    class is a frame in that class's colour. Pixels without a label have a grey outline.

    Args:
        image: (H, W, 1 or 3) uint8.
        mask: (H, W) class numbers, others are no label; None: the image alone.
        num_classes: K.
        side: Longer side of the result in pixels; small images are enlarged by a whole
            number, so that a border is thinner than their pixels.

    Returns:
        (h, w, 3) uint8.
    """
    rows, columns = _grid(image.shape[:2], side)
    picture = image[rows][:, columns]
    picture = np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture[..., :3]
    if mask is None or not num_classes:
        return np.ascontiguousarray(picture)
    labels = mask[rows][:, columns].astype(np.int64)
    known = (labels >= 0) & (labels < num_classes)
    labels = np.where(known, labels, num_classes)
    around = np.pad(labels, 1, constant_values=-1)
    height, width = labels.shape
    border, shade = np.zeros(labels.shape, bool), np.zeros(labels.shape, bool)
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        neighbour = around[down : down + height, right : right + width]
        border |= labels > neighbour
        shade |= labels < neighbour
    colours = np.concatenate([palette(num_classes), HATCH[1:]])
    picture = np.where(shade[..., None], picture // 3, picture)
    return np.where(border[..., None], colours[labels], picture).astype(np.uint8)


def _grid(size: tuple[int, int], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows and columns are drawn, nearest neighbour."""
    longest = max(size)
    if longest <= side:
        return tuple(np.repeat(np.arange(n), max(1, min(4, side // longest))) for n in size)
    return tuple(
        ((np.arange(max(1, round(n * side / longest))) + 0.5) * longest / side)
        .astype(int)
        .clip(max=n - 1)
        for n in size
    )


def _shares(findings: Sequence[Shown]) -> list[tuple[Shown, int]]:
    """How many pictures each finding may have; of very many findings the last have none."""
    each = max(2, min(MAX_SHOWN, MAX_PICTURES // max(1, len(findings))))
    return [(f, each if (n + 1) * each <= MAX_PICTURES else 0) for n, f in enumerate(findings)]


def _choose(finding: Shown, share: int) -> list[Member]:
    """The members shown: suspects and others by turns, so that both can be compared."""
    suspects = [m for m in finding.members if m.suspect]
    others = [m for m in finding.members if not m.suspect]
    half = max(share // 2, share - len(others))
    chosen = suspects[:half]
    return [*others[: share - len(chosen)], *chosen]


def _draw(pictures: dict[Any, Picture | None], num_classes: int) -> dict[Any, dict | None]:
    """`uri`, `width`, `height` of each; all as large as the budget allows."""
    drawn: dict[Any, dict | None] = {}
    for side in _SIDES:
        drawn = {}
        for index, picture in pictures.items():
            if picture is None:
                drawn[index] = None
                continue
            boxed = isinstance(picture, BoxPicture)
            made = picture.drawn(side) if boxed else outlined(*picture, num_classes, side)
            drawn[index] = {
                "uri": png_uri(made),
                "width": made.shape[1],
                "height": made.shape[0],
                "pixels": not boxed and made.shape[0] >= picture[0].shape[0],
            }
        if sum(len(item["uri"]) for item in drawn.values() if item) <= BUDGET:
            break
    return drawn


def _short(evidence: dict[str, Any]) -> dict[str, Any]:
    """Evidence for reading: numbers with three digits, long lists cut."""

    def one(value: Any) -> Any:
        if isinstance(value, float):
            return f"{value:.3g}"
        if isinstance(value, dict):
            cut = {str(key): one(item) for key, item in list(value.items())[:MAX_SHOWN]}
            return {**cut, "...": f"{len(value)} in all"} if len(value) > MAX_SHOWN else cut
        if isinstance(value, list | tuple):
            cut = [one(item) for item in value[:MAX_SHOWN]]
            return [*cut, f"... {len(value)} in all"] if len(value) > MAX_SHOWN else cut
        return value

    return one(evidence)
