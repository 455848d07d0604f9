"""Folders of npz files: one file is a data set, so what to do is said."""

from tfvision.data.files.tree import Tree
from tfvision.data.sources.npz import read_headers
from tfvision.errors import InputError


def check_no_npz_folder(tree: Tree) -> None:
    """Raises an `InputError` where a folder holds npz files and no image."""
    files = [path for path in tree.below("") if path.lower().endswith(".npz")]
    if tree.of_file or not files or any(tree.images("")):
        return
    headers = read_headers(tree.root / files[0])
    shown = ", ".join(f"{key} {header}" for key, header in headers.items())
    beginning = f"{tree.root} holds {len(files)} npz files ({files[0]} with {shown}). "
    pictures = {key: header for key, header in headers.items() if len(header.shape) in (2, 3)}
    if len(files) == 1 or any(len(header.shape) > 3 for header in headers.values()):
        advice = f"Give the path of the one that is meant, e.g. {tree.root / files[0]}."
        raise InputError(beginning + advice)
    pattern = str(tree.root / ("**/*.npz" if "/" in files[0] else "*.npz"))
    names = ", ".join(f"{key}=np.stack([f[{key!r}] for f in files])" for key in pictures)
    raise InputError(
        f"{beginning}One npz file holds a whole data set; these seem to hold a picture each. Join "
        'them: python -c "import glob, numpy as np; files = [np.load(p) for p in '
        f"sorted(glob.glob({pattern!r}, recursive=True))]; np.savez('joined.npz', {names})\", then "
        "give joined.npz."
    )
