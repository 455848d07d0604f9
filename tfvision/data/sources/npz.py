"""The source `npz`: one file of NumPy arrays, recognised by keys and shapes.

- `images` (N, H, W) or (N, H, W, 1 or 3) and `masks` (N, H, W), also named `x` and `y`:
  samples to be split;
- the same with a part's name, `x_train`, `train_images`, `val_masks`, ...: parts, of which
  the test part may lack masks;
- the same with labels (N,), whole numbers or text, in place of masks: a label an image;
  masks beside labels are then the regions of the objects;
- `training_set` (N, 2, H, W), image and mask, and optionally `test_set` (M, H, W).

An array `class_names` of strings names the classes. Other keys are noted, not read.
Nothing is unpickled, and what each array declares is checked before memory is taken.
"""

import difflib
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfvision.data.files.paths import read_bytes, stamp_of
from tfvision.data.files.tree import Tree
from tfvision.data.sources.array_source import ArraySource, number_labels
from tfvision.errors import InputError
from tfvision.memory import memory_bytes

ROLES = {
    **dict.fromkeys(("images", "image", "imgs", "x"), "images"),
    **dict.fromkeys(("masks", "mask", "labels", "label", "y"), "masks"),
}
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
CLASS_NAMES = ("class_names", "classes")
SMALL_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 2**16
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, EOFError)

EXPECTED = (
    "Expected: images (N, H, W[, 3]) and masks (N, H, W) or labels (N,), also named x and y; the "
    "same with "
    "train_, val_, test_ before or behind; or training_set (N, 2, H, W) with an optional "
    "test_set (M, H, W)"
)


@dataclass(frozen=True)
class Header:
    """What one array of the file declares."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


def npz(
    path: str | Path,
    *,
    mask_values: Sequence[int] | None = None,
    white: float | None = None,
    max_expansion: float = 200.0,
) -> ArraySource:
    """Samples of an npz file; see the table in this module's head.

    Args:
        path: The file.
        mask_values: The values of the masks in class order, where they are not 0, 1, 2, ...
        white: The pixel value that means 1.0. By default 255 for 8-bit, 65535 for 16-bit,
            and for floats 1, or 255 where they are whole numbers above 1.
        max_expansion: Arrays above 64 MiB that declare more than this many times their
            compressed size are refused.

    Raises:
        InputError: Not such a file, unknown keys or shapes, object arrays, arrays of
            different length, a declared size that memory does not hold.
    """
    path = Path(path)
    stamp = stamp_of(path)  # before the read: a later change must show
    headers = read_headers(path, max_expansion=max_expansion)
    parts, used, layout = _recognise(path, headers)
    class_names = _class_names(path, headers, parts, used)
    notes = [f"key {key} {headers[key]} is not used" for key in sorted(headers) if key not in used]
    parts, class_names, class_labels, problems = number_labels(parts, class_names, path.name)
    return ArraySource(
        parts,
        name="npz",
        layout=f"{path.name}: {layout}",
        path=path,
        class_names=class_names,
        mask_values=mask_values,
        white=white,
        notes=notes,
        stamp=stamp,
        class_labels=class_labels,
        problems=problems,
    )


def sees_labels(tree: Tree) -> str | None:
    """What speaks for a label an image; see `tfvision.data.sources.recognise`."""
    return _keys_seen(tree, "labels")


def sees_masks(tree: Tree) -> str | None:
    """What speaks for a mask an image: where there are labels too, masks are regions."""
    return None if sees_labels(tree) else _keys_seen(tree, "masks")


def _keys_seen(tree: Tree, role: str) -> str | None:
    """The keys of a role in an npz file that is given by its path."""
    (name,) = tree.files[""] if tree.of_file else ("",)
    if not name.lower().endswith(".npz"):
        return None
    try:
        headers = read_headers(tree.root / name)
    except InputError:
        return None
    mars = role == "masks" and "training_set" in headers
    keys = [key for key, header in headers.items() if _role(key, header)[1] == role]
    keys += ["training_set"] if mars else []
    return f"{name} with {', '.join(keys)}" if keys else None


def read_headers(path: Path, *, max_expansion: float = 200.0) -> dict[str, Header]:
    """Shape and dtype of each array, read without allocating any.

    Raises:
        InputError: Not an npz, a damaged one, or one that would fill the memory.
    """
    if not path.is_file():
        read_bytes(path, place=str(path))  # says what stands there instead
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
            headers = {m.filename[:-4]: _header(path, archive, m) for m in members}
    except _DAMAGE as error:
        raise InputError(
            f"{path} is not a whole npz file ({error}). Save it with np.savez, or copy it again."
        ) from error
    for member in members:
        ratio = member.file_size / max(member.compress_size, 1)
        if member.file_size > SMALL_BYTES and ratio > max_expansion:
            raise InputError(
                f"{path}: {member.filename[:-4]} declares {member.file_size:,} bytes out of "
                f"{member.compress_size:,} compressed ones, {ratio:.0f} times as much; the limit "
                f"is {max_expansion:g}. Raise max_expansion where you trust the file."
            )
    total, (_, free) = sum(member.file_size for member in members), memory_bytes()
    if free is not None and total > free:
        raise InputError(
            f"{path} declares {total:,} bytes, {free:,} bytes of memory are free. Store fewer "
            "samples a file, or smaller numbers (uint8)."
        )
    return headers


def _header(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Header:
    key = member.filename[:-4]
    with archive.open(member) as file:
        try:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):  # four bytes of length: NumPy would read up to 4 GiB
                _check_header_length(file)
            reader = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = reader(file)
        except _DAMAGE:
            raise
        except Exception as error:  # a hostile header raises what Python's parser knows
            raise InputError(f"{path}: key {key} is not an array ({error}).") from error
        start = file.tell()
    if dtype.hasobject:
        raise InputError(
            f"{path}: key {key} {shape} holds Python objects, which are never unpickled. "
            "Save arrays of numbers, all images of one shape."
        )
    if dtype.itemsize == 0:
        raise InputError(
            f"{path}: key {key} declares {shape} values of no bytes ({dtype}). Save it again."
        )
    declared = start + dtype.itemsize * math.prod(shape)
    if declared != member.file_size:
        raise InputError(
            f"{path}: key {key} declares {shape} {dtype}, {declared:,} bytes, but holds "
            f"{member.file_size:,}. The file is damaged: save it again."
        )
    return Header(tuple(shape), dtype)


def _check_header_length(file) -> None:
    start = file.tell()
    length = int.from_bytes(file.read(4), "little")
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header declares {length:,} bytes, the limit is {MAX_HEADER_BYTES:,}")
    file.seek(start)


def _recognise(path: Path, headers: dict[str, Header]):
    """Parts for `ArraySource`, the keys used, and a sentence."""
    if "training_set" in headers:
        return _mars(path, headers)
    roles: dict[tuple[str, str], str] = {}
    for key, header in headers.items():
        part, role = _role(key, header)
        if role is None:
            continue
        if (part, role) in roles:
            raise InputError(
                f"{path}: keys {roles[part, role]!r} and {key!r} both look like the "
                f"{part or 'only'} {role}. Keep one."
            )
        roles[part, role] = key
    names = [part for part in ("", "train", "val", "test") if (part, "images") in roles]
    present = {role for _, role in roles}
    absent = {"images", "masks"} - present if "labels" not in present else {"images"} - present
    for key in headers:
        near = difflib.get_close_matches(key, absent, n=1, cutoff=0.75)
        if near and key not in roles.values():
            raise InputError(f"{path}: unknown key {key!r}. Did you mean {near[0]!r}? {EXPECTED}.")
    if not names:
        keys = ", ".join(f"{key} {header}" for key, header in headers.items()) or "no array"
        raise InputError(f"{path} holds {keys}. {EXPECTED}.")
    for part, role in roles:
        if role != "images" and part not in names:
            raise InputError(
                f"{path} has {roles[part, role]!r} but no images for them. {EXPECTED}."
            )
    truth = "labels" if "labels" in present else "masks"
    labelled = [part for part in names if (part, truth) in roles]
    missing = [part for part in names if part not in labelled and part != "test"]
    if missing and labelled:
        raise InputError(
            f"{path}: {', '.join(roles[p, 'images'] for p in missing)} without {truth}. Found "
            f"{', '.join(headers)}. {EXPECTED}."
        )
    arrays = _load(path, roles.values())
    parts = {}
    for part in names:
        key, mask_key = roles[part, "images"], roles.get((part, "masks"))
        label_key = roles.get((part, "labels"))
        parts[part] = {
            "images": arrays[key],
            "masks" if truth == "masks" else "regions": None
            if mask_key is None
            else arrays[mask_key],
            "labels": None if label_key is None else arrays[label_key],
            "split": part if part in ("val", "test") or ("val" in names and part) else None,
            "key": key,
            "mask_key": mask_key,
        }
    used = set(roles.values())
    layout = "; ".join(
        f"{roles[part, 'images']} {headers[roles[part, 'images']].shape}"
        + (f" with {roles[part, truth]}" if part in labelled else f" without {truth}")
        for part in names
    )
    return parts, used, layout


def _mars(path: Path, headers: dict[str, Header]):
    for key in ("training_set", "test_set"):
        shape = headers[key].shape if key in headers else None
        pairs = shape is not None and len(shape) == 4 and shape[1] == 2
        if shape is not None and not pairs and (key == "training_set" or len(shape) != 3):
            want = "(N, 2, H, W): image and mask" if key == "training_set" else "(M, H, W)"
            raise InputError(f"{path}: {key} must have the shape {want}; got {shape}.")
    arrays = _load(path, [key for key in ("training_set", "test_set") if key in headers])
    parts = {}
    for key, array in arrays.items():
        pairs = array.ndim == 4
        parts[key] = {
            "images": array[:, 0] if pairs else array,
            "masks": array[:, 1] if pairs else None,
            "split": None if key == "training_set" else "test",
            "key": key,
            "mask_key": key,
        }
    layout = "; ".join(
        f"{key} {array.shape}, " + ("image and mask" if array.ndim == 4 else "images without masks")
        for key, array in arrays.items()
    )
    return parts, set(arrays), layout


def _role(key: str, header: Header) -> tuple[str, str | None]:
    """`x_train` -> ("train", "images"); role None where the key means neither.

    One value an image is a label, unless the key says that it is a mask.
    """
    words = key.lower().split("_")
    part, word = "", words[0] if len(words) == 1 else ""
    if len(words) == 2:
        for first, second in (words, reversed(words)):
            if first in PARTS and second in ROLES:
                part, word = PARTS[first], second
                break
    single = len(header.shape) > 0 and header.shape[1:] in ((), (1,))
    labels = single and word in ("labels", "label", "y")
    return part, "labels" if labels else ROLES.get(word)


def _load(path: Path, keys) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in keys}
    except (ValueError, MemoryError, *_DAMAGE) as error:
        raise InputError(f"{path} cannot be read ({error}). Copy or save it again.") from error


def _class_names(path: Path, headers, parts, used: set[str]) -> list[str] | None:
    for key in CLASS_NAMES:
        header = headers.get(key)
        if header is not None and header.dtype.kind == "U" and len(header.shape) == 1:
            used.add(key)
            return [str(name) for name in _load(path, [key])[key]]
    return None
