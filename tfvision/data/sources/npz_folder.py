"""Folders of npz files: one file is a data set, so what to do is said."""

from tfvision.data.files.tree import Tree
from tfvision.data.sources.npz import read_headers
from tfvision.errors import InputError


def check_no_npz_folder(tree: Tree) -> None:
    """Raises an `InputError` where a folder holds an npz file for each picture."""
    files = [path for path in tree.below("") if path.lower().endswith(".npz")]
    if tree.of_file or not files or any(tree.images("")):
        return
    try:
        headers = read_headers(tree.root / files[0])
    except InputError:
        return
    pictures = {key: header for key, header in headers.items() if len(header.shape) in (2, 3)}
    if len(files) == 1 or not pictures or any(len(h.shape) > 3 for h in headers.values()):
        return
    shown = ", ".join(f"{key} {header}" for key, header in headers.items())
    beginning = f"{tree.root} holds {len(files)} npz files ({files[0]} with {shown}). "
    pattern = str(tree.root / ("**/*.npz" if "/" in files[0] else "*.npz"))
    names = ", ".join(f"{key}=np.stack([f[{key!r}] for f in files])" for key in pictures)
    raise InputError(
        f"{beginning}One npz file holds a whole data set; these seem to hold a picture each. Join "
        'them: python -c "import glob, numpy as np; files = [np.load(p) for p in '
        f"sorted(glob.glob({pattern!r}, recursive=True))]; np.savez('joined.npz', {names})\", then "
        "give joined.npz."
    )
