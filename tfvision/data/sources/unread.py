"""Files that nothing reads: counted by extension and place, with how to convert them."""

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping

from tfvision.data.files.issue import Issue
from tfvision.data.files.tree import Tree, is_image
from tfvision.text import first_lines

_FILES = "Path('.').rglob('*') if p.name.lower().endswith('{ending}')"
_EACH = "from pathlib import Path; [{do} for p in " + _FILES + "]"
_SAVE = "Image.fromarray({array}).save(p.with_name(p.name + '.png'))"
_VIDEO = "for f in *{ending}; do ffmpeg -i $f -vf fps=1 ${{f%.*}}_%05d.png; done"
_ABOVE_0 = "np.clip(np.rint({values} + 1024 * ({shifted})), 0, 65535).astype('uint16')"
_SHIFTED = (
    "; what is below -1024 becomes 0, fractions are rounded, and whole numbers from 0 on are kept "
    "where nothing is below 0)"
)
_VOLUMES = (
    'python -c "import {package}, numpy as np; from PIL import Image; from pathlib import Path; '
    "[Image.fromarray("
    + _ABOVE_0.format(values="{slice}", shifted="v.min() < 0")
    + ").save(f'{{{{p}}}}_{{{{z:03}}}}.png') for p in "
    + _FILES.replace("{ending}", "{{ending}}")
    + ' for v in [{volume}] for z in range({count})]" (of a volume with values below 0, as CT '
    "has, 1024 is added" + _SHIFTED
)
_NIFTI = "pip install nibabel pillow; " + _VOLUMES.format(
    package="nibabel", volume="nibabel.load(p).get_fdata()", slice="v[..., z]", count="v.shape[2]"
)
_ITK = "pip install SimpleITK pillow; " + _VOLUMES.format(
    package="SimpleITK as s",
    volume="s.GetArrayFromImage(s.ReadImage(str(p))).astype(float)",
    slice="v[z]",
    count="len(v)",
)
_DICOM = (
    'pip install pydicom pillow; python -c "import pydicom, numpy as np; from PIL import Image; '
    "from pathlib import Path; [Image.fromarray(v if v.ndim > 2 else "
    + _ABOVE_0.format(
        values="v * float(d.get('RescaleSlope') or 1) + float(d.get('RescaleIntercept') or 0)",
        shifted="d.PixelRepresentation > 0 or float(d.get('RescaleIntercept') or 0) < 0",
    )
    + ").save(f'{{p}}_{{z:03}}.png') for p in "
    + _FILES
    + " for d in [pydicom.dcmread(p)] for z, v in enumerate(d.pixel_array if "
    "int(d.get('NumberOfFrames') or 1) > 1 else [d.pixel_array])]\" (slope and intercept are "
    "applied; where values may lie below 0, as in CT, 1024 is added" + _SHIFTED
)
_NUMPY = (
    'python -c "import numpy as np; from PIL import Image; '
    + _EACH.format(
        do=_SAVE.format(
            array="v.astype('uint16') if v.dtype.kind == 'i' and 0 <= v.min() <= v.max() < 65536 "
            "else v"
        ),
        ending="{ending}",
    ).replace("]", " for v in [np.load(p)]]")
    + '"'
)
_HEIF = (
    'pip install pillow-heif; python -c "import pillow_heif; from PIL import Image, ImageOps; '
    "pillow_heif.register_heif_opener(); "
    + _EACH.format(
        do="ImageOps.exif_transpose(Image.open(p)).convert('RGB').save(p.with_suffix('.jpg'), "
        "quality=95)",
        ending="{ending}",
    )
    + '"'
)
_PILLOW = (
    'python -c "from PIL import Image; '
    + _EACH.format(do="Image.open(p).convert('RGB').save(p.with_suffix('.png'))", ending="{ending}")
    + '"'
)
_AVIF = _PILLOW.replace("python -c", "pip install 'pillow>=11.3'; python -c")
_MATLAB = (
    'pip install scipy pillow; python -c "from scipy.io import loadmat; [print(p, {{k: v.shape '
    "for k, v in loadmat(p).items() if hasattr(v, 'shape')}}) for p in "
    "__import__('pathlib')." + _FILES + ']" shows the arrays; save those that are '
    "images and masks with Image.fromarray(array).save(NAME.png)"
)
_HDF = (
    'pip install h5py; python -c "import h5py; from pathlib import Path; [h5py.File(p).visititems('
    "print) for p in " + _FILES + ']" shows the arrays; save them as npz with the '
    "keys images and masks"
)
_SLIDE = "vips dzsave FILE{ending} tiles --suffix .png --depth one --tile-size 1024 (of libvips)"
_RAW = (
    'pip install rawpy imageio; python -c "import rawpy, imageio.v3 as i; '
    + _EACH.format(
        do="i.imwrite(p.with_suffix('.png'), rawpy.imread(str(p)).postprocess())", ending="{ending}"
    )
    + '"'
)
_MAGICK = "magick mogrify -format png *{ending} (of ImageMagick)"
_UNPACK = "python -m zipfile -e {name} FOLDER"
_UNTAR = "tar xf {name}"
_UNRAR = "7z x {name}"

COMMANDS: Mapping[str, str] = {
    **dict.fromkeys((".nii", ".nii.gz", ".mgz"), _NIFTI),
    **dict.fromkeys((".dcm", ".dicom", ".ima"), _DICOM),
    ".npy": _NUMPY,
    **dict.fromkeys((".heic", ".heif", ".hif"), _HEIF),
    ".avif": _AVIF,
    **dict.fromkeys((".jp2", ".j2k", ".tga", ".ico", ".pcx", ".dds"), _PILLOW),
    ".mat": _MATLAB,
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), _HDF),
    **dict.fromkeys((".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".bif"), _SLIDE),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"), _VIDEO),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"), _RAW),
    **dict.fromkeys((".psd", ".jxl", ".exr", ".hdr", ".svg", ".pdf", ".eps", ".jxr"), _MAGICK),
    **dict.fromkeys((".nrrd", ".mha", ".mhd"), _ITK),
    **dict.fromkeys((".czi", ".lif", ".nd2"), "bfconvert FILE{ending} FILE.tif (of Bio-Formats)"),
}
"""Extension of data that is not read -> a command that converts the files in a folder."""
ARCHIVES: Mapping[str, str] = {
    ".zip": _UNPACK,
    **dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), _UNTAR),
    **dict.fromkeys((".rar", ".7z", ".gz", ".bz2", ".xz"), _UNRAR),
}


def extension(name: str) -> str:
    """In small letters; `.nii.gz` and `.tar.gz` are whole."""
    name = name.lower()
    for double in (".nii.gz", ".tar.gz", ".tar.bz2", ".tar.xz"):
        if name.endswith(double):
            return double
    return posixpath.splitext(name)[1]


def convertible(name: str) -> bool:
    """Whether a file is likely one that was meant to be read, in a format that is not."""
    return extension(name) in COMMANDS


def how_to_convert(names: Iterable[str]) -> str:
    """One sentence an extension: the command to type in the folder of the files."""
    lines = []
    for ending, name in {extension(name): name for name in names}.items():
        if ending in ARCHIVES:
            command = ARCHIVES[ending].format(name=name)
            lines.append(f"Unpack it ({command}) and give the folder.")
        elif ending in COMMANDS:
            lines.append(f"Convert them: {COMMANDS[ending].format(ending=ending)}.")
    return " ".join(lines)


def instead(tree: Tree) -> list[str]:
    """Sentences on what a folder without any image holds instead, and what to do with it."""
    names = list(tree.below(""))
    if unread := [name for name in names if convertible(name)]:
        counts = Counter(map(extension, unread))
        kinds = ", ".join(_some(count, ending) for ending, count in counts.items())
        return [f"It holds {kinds}, which are not read.", how_to_convert(unread)]
    packed = [name for name in names if extension(name) in ARCHIVES]
    return [how_to_convert(packed[:1])] if packed else []


def unread_notes(tree: Tree, used: Iterable[str]) -> list[str]:
    """Lines on the files below a data set that nothing reads: "12 .txt files in notes/ ...".

    Args:
        tree: The data set.
        used: Paths that are read.
    """
    lines = [
        f"{_some(count, ending)} in {_shown(folder)} {'is' if count == 1 else 'are'} not read"
        for (folder, ending), count in _left(tree, used).items()
        if ending not in COMMANDS  # of which `unread_issues` tells
    ]
    lines += [f"{folder}/ cannot be read" for folder in tree.closed]
    return first_lines(lines, most=8)


def unread_issues(tree: Tree, used: Iterable[str]) -> list[Issue]:
    """A finding for each kind of data that is not read: its places with counts, what to type.

    An error where nothing else lies in a folder of them, else a warning.
    """
    used = set(used)
    by_ending: dict[str, dict[str, int]] = {}
    for (folder, ending), count in _left(tree, used).items():
        if ending in COMMANDS:
            by_ending.setdefault(ending, {})[folder] = count
    issues = []
    for ending, places in by_ending.items():
        alone = [f for f in places if not any(is_image(name) for name in tree.below(f))]
        parts = [f"{_some(count, ending)} in {_shown(folder)}" for folder, count in places.items()]
        verb = "is" if sum(places.values()) == 1 else "are"
        problem = f"{', '.join(parts)} {verb} not read"
        severity = "error" if alone else "warning"
        advice = how_to_convert([f"x{ending}"])
        issues.append(Issue(severity, "", tree.root.name, problem, advice=advice))
    return issues


def _left(tree: Tree, used: Iterable[str]) -> Counter[tuple[str, str]]:
    """(folder, extension) -> number of files that are not used."""
    used = set(used)
    counts: Counter[tuple[str, str]] = Counter()
    for folder, names in tree.files.items():
        start = f"{folder}/" if folder else ""
        counts.update((folder, extension(name)) for name in names if start + name not in used)
    return counts


def _some(count: int, ending: str) -> str:
    name = f"{ending} file" if ending else "file"
    return f"{count} {name}{'s' * (count != 1)}{'' if ending else ' without extension'}"


def _shown(folder: str) -> str:
    return f"{folder}/" if folder else "the folder itself"
