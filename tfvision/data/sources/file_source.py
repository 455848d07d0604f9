"""Samples that are files: an image file each, and a mask file where there is one."""

import filecmp
import posixpath
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tfvision.data.files.images import EXTENSIONS, read_image, read_mask
from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.files.paths import leads_inside, stamp_of
from tfvision.data.files.reading import Reading, check_threshold
from tfvision.data.files.tree import is_visible
from tfvision.data.sources.mask_reader import MaskReader
from tfvision.data.sources.pages import Samples, each_page
from tfvision.data.sources.source import RawSample, Record, Source
from tfvision.text import counted

DRAWN_AS_SEEN = (
    "the image is turned by its EXIF orientation, and its mask is drawn on it as it is seen; set "
    "exif: ignore where annotations were made on the pixels as they are stored"
)


class FileSource(Source):
    """A source out of files.

    Args:
        records: One a sample.
        files: For each record its image file, and its mask file, the `MaskReader` that draws
            its mask, or None.
        mask_places: What messages call the mask files.
        reading: How they are read.
        reads_also: Other files that say how samples are read, such as annotations or a table
            of classes. A copy of images and masks alone would be read otherwise.
        **common: What `Source` takes.
    """

    def __init__(
        self,
        records: Sequence[Record],
        files: Sequence[tuple[Path, Path | MaskReader | None]],
        mask_places: Sequence[str],
        *,
        reading: Reading | None = None,
        reads_also: Sequence[Path] = (),
        **common,
    ):
        self.reading, self.reads_also = reading or Reading(), list(reads_also)
        check_threshold(self.reading.threshold, common.get("mask_values"))
        samples = Samples(list(records), list(files), list(mask_places))
        if self.reading.pages == "each":
            samples = each_page(samples)
        super().__init__(samples.records, options=self.reading.text, **common)
        self._files, self._mask_places = samples.files, samples.mask_places
        self._pages = samples.pages or [None] * len(samples.files)
        self._listed = samples.listed or list(range(len(samples.files)))
        self.notes += samples.notes
        self.problems += samples.problems
        self.notes += self.reading.notes()

    def files(self, index: int) -> tuple[Path, Path | None]:
        """The image file of a sample, and its mask file where it has one that is not drawn."""
        image, mask = self._files[index]
        return image, mask if isinstance(mask, Path) else None

    def stamp(self, index: int) -> str:
        parts = [part for part in self._files[index] if part is not None]
        return "|".join(
            stamp_of(part) if isinstance(part, Path) else part.stamp() for part in parts
        )

    def read_raw(self, index: int) -> RawSample:
        image_path, mask_source = self._files[index]
        page = self._pages[index]
        image = read_image(image_path, self.reading, place=self.records[index].place, page=page)
        if mask_source is None:
            return RawSample(image.pixels, mode=image.mode, warnings=image.warnings)
        mask_place = self._mask_places[index]
        if isinstance(mask_source, MaskReader):
            pixels = mask_source.read(mask_place, image.pixels.shape[:2])
            turned = any(warning.startswith("EXIF orientation") for warning in image.warnings)
            warnings = (*image.warnings, *([DRAWN_AS_SEEN] if turned else []))
            return RawSample(image.pixels, pixels, mode=image.mode, warnings=warnings)
        try:
            mask = read_mask(mask_source, self.reading, place=mask_place, page=page)
        except BadSample:
            if not _equal_files(image_path, mask_source):
                raise
            advice = "Put the mask there in place of the copy."
            raise BadSample(mask_place, "is the image itself, not its mask", advice) from None
        warnings = (*image.warnings, *(f"mask {warning}" for warning in mask.warnings))
        return RawSample(
            image.pixels,
            mask.pixels,
            mode=image.mode,
            warnings=warnings,
            mask_colours=mask.colours,
        )

    def read_large(self, index: int) -> RawSample:
        path, page, place = self._files[index][0], self._pages[index], self.records[index].place
        from tfvision.data.files.windows import open_windows  # its library only where it is asked

        reading = replace(self.reading, max_pixels=None)
        windows = open_windows(path, reading, place=place, page=page)
        if windows is not None:
            return RawSample(windows, mode=str(windows.dtype))
        image = read_image(path, reading, place=place, page=page)
        return RawSample(image.pixels, mode=image.mode, warnings=image.warnings)


def _equal_files(first: Path, second: Path) -> bool:
    """Whether two files have the same content."""
    try:
        return filecmp.cmp(first, second, shallow=False)
    except OSError:
        return False


@dataclass
class Listing:
    """The image files below a folder.

    Attributes:
        files: Path of each, sorted by its path relative to the folder.
        hidden: Number of hidden and system files and folders left out.
        others: Files that are no images by their extension, left out.
        problems: Links that lead outside, folders named like images or not to be read,
            names that are not UTF-8.
    """

    files: list[Path] = field(default_factory=list)
    hidden: int = 0
    others: list[Path] = field(default_factory=list)
    problems: list[Issue] = field(default_factory=list)

    def notes(self) -> list[str]:
        lines = []
        if self.hidden:
            lines.append(f"{counted(self.hidden, 'hidden or system file')} ignored")
        return lines


def list_images(folder: Path, *, root: Path, allow_outside_root: bool, into: Listing) -> None:
    """Adds the image files below `folder` to a listing, folders inside it included.

    Links are followed while they stay below `root`, or anywhere with `allow_outside_root`;
    a folder is entered once, so that links in a circle end.
    """
    seen: set[Path] = set()
    pending = [folder]
    while pending:
        current = pending.pop(0)
        real = current.resolve()
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = sorted(current.iterdir())
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
            advice = "Make the folder readable (chmod u+rx)."
            into.problems.append(Issue("error", "", show(current, root), problem, advice=advice))
            continue
        inside = leads_inside(root, current)
        for path in entries:
            if not is_visible(path.name):
                into.hidden += 1
                continue
            # What is no link lies where its folder lies; to follow each path takes long.
            allowed = allow_outside_root or (inside and not path.is_symlink())
            problem = name_problem(path, root, allowed)
            if problem is not None:
                into.problems.append(Issue("error", "", show(path, root), *problem))
            elif path.is_dir():
                pending.append(path)
            elif path.suffix.lower() in EXTENSIONS:
                into.files.append(path)
            else:
                into.others.append(path)
    into.files.sort()


def show(path: Path, root: Path) -> str:
    """A path as messages show it: relative to the data set, printable, `/` between folders."""
    try:
        text = path.relative_to(root).as_posix()
    except ValueError:
        text = path.as_posix()
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def unique_ids(paths: Sequence[str]) -> list[str]:
    """Paths without extension where that is unique, else with it."""
    stems = [stem(path) for path in paths]
    counts: dict[str, int] = {}
    for name in stems:
        counts[name] = counts.get(name, 0) + 1
    return [name if counts[name] == 1 else path for name, path in zip(stems, paths, strict=True)]


def stem(path: str) -> str:
    """`a/b.png` -> `a/b`. Only the extension of an image goes: `a.v2` stays whole."""
    start, suffix = posixpath.splitext(path)
    return start if suffix.lower() in EXTENSIONS else path


def name_doubles(
    paths: Mapping[Path, str], *, root: Path, by_stem: bool
) -> tuple[set[Path], list[Issue]]:
    """Files that share a name, extension aside where `by_stem`; returns all of them.

    Args:
        paths: File -> its path below its folder, `/` between folders.
        root: Of the data set, for messages.
        by_stem: Whether the extension does not count.

    Returns:
        The files, and an error for each such name, a warning where names differ by case alone.
    """
    same: dict[str, list[Path]] = {}
    folded: dict[str, list[Path]] = {}
    for file, path in paths.items():
        same.setdefault(name_key(stem(path) if by_stem else path), []).append(file)
        folded.setdefault(name_key(path).casefold(), []).append(file)
    doubles = [group for group in same.values() if len(group) > 1]
    alike = [group for group in folded.values() if len({name_key(paths[f]) for f in group}) > 1]
    text = "has the same name as {}, extension aside" if by_stem else "looks like {}"
    kinds = [(doubles, "error", text), (alike, "warning", "differs from {} by case alone")]
    advice = "Rename or delete one: names must be different on every system."
    issues = []
    for groups, severity, text in kinds:
        for group in groups:
            first, second = (show(file, root) for file in group[:2])
            issues.append(Issue(severity, "", second, text.format(first), advice=advice))
    return {file for group in doubles for file in group}, issues


def name_key(path: str) -> str:
    """One spelling for names that look the same: composed (NFC) letters."""
    return unicodedata.normalize("NFC", path)


def name_problem(path: Path, root: Path, allow_outside_root: bool) -> tuple[str, str] | None:
    """What is wrong with a file's or folder's name, and what to do; None: nothing."""
    try:
        path.name.encode("utf-8")
    except UnicodeEncodeError:
        return "its name is not UTF-8 text", "Rename the file."
    if path.is_dir() and path.suffix.lower() in EXTENSIONS:
        return "is a folder, but named like an image file", "Rename it."
    if not allow_outside_root and path.exists() and not leads_inside(root, path):
        return (
            f"is a link that leaves the data set: {path.resolve()}",
            "Put the file itself here, or type --set data.source.allow_outside_root=true.",
        )
    return None
