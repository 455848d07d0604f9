"""Probabilities on disk, in shards: resumable, checked, exactly one row an id. NumPy only.

A store is a folder:

    shards.json        version, ids, class_names, origin, per_shard
    shard-00000.npz    ids (n,), heights (n,), widths (n,), probabilities (sum of H * W, K)
                       float16: the pixels of one image row by row, the images one after another;
                       weights (sum of H * W,) float64 where there are any
    shard-00000.json   bytes and sha256 of the npz; written after it, so it says "complete"

Shard i has the ids [i * per_shard, (i + 1) * per_shard). float16 keeps 11 binary digits: what
comes back differs by at most 2^-12 from what was written. It is not normalised anew, so the sum
over a pixel's classes may miss 1 by K * 2^-12.
"""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.files import sha256_of, write_bytes, write_json
from tfvision.errors import InputError
from tfvision.text import first_lines, some

VERSION = 1
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class Shards:
    """A store of probabilities; made by `create`, read by `open`.

    Attributes:
        folder: Where it is.
        ids: One an image, in order; no two are equal.
        class_names: K names, in the order of the last axis.
        origin: What the probabilities are of and from, as it was given to `create`.
    """

    def __init__(self, folder: Path, header: dict[str, Any]):
        self.folder = folder
        self.ids: list[str] = header["ids"]
        self.class_names: list[str] = header["class_names"]
        self.origin: dict[str, Any] = header["origin"]
        self._per_shard: int = header["per_shard"]
        self._places = {name: place for place, name in enumerate(self.ids)}
        self._held: tuple[int, list[tuple]] = (-1, [])  # the shard read last

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        ids: Sequence[str],
        class_names: Sequence[str],
        origin: dict[str, Any],
        per_shard: int = 64,
    ) -> "Shards":
        """Makes a store, or opens one that was begun, to write what is `missing`.

        Args:
            folder: Where it is to be.
            ids: One an image, no two equal.
            class_names: Of the K classes.
            origin: Plain values that tell what the probabilities come from.
            per_shard: Images a shard; a store that was begun keeps its own.

        Raises:
            InputError: An id comes twice; or the folder holds something else, or a store of
                other ids, classes or origin.
        """
        folder = Path(folder)
        header = {
            "version": VERSION,
            "ids": [str(i) for i in ids],
            "class_names": [str(name) for name in class_names],
            "origin": json.loads(json.dumps(origin)),  # as it will be read back
            "per_shard": int(per_shard),
        }
        twice = [i for i, times in Counter(header["ids"]).items() if times > 1]
        if twice:
            raise InputError(
                f"Every id of {folder} must be there once; {len(twice)} come several times: "
                f"{some(twice)}. Give the images different names."
            )
        if header["per_shard"] < 1 or not header["class_names"]:
            raise InputError("A store of probabilities needs per_shard >= 1 and class names.")
        path = folder / "shards.json"
        if path.exists():
            before = _read_header(folder)
            _check_same(folder, before, header)
            return cls(folder, before)
        if folder.exists() and (not folder.is_dir() or any(_names(folder))):
            raise InputError(
                f"{folder} holds something else than probabilities (it has no shards.json). "
                "Choose another folder."
            )
        write_json(path, header)
        return cls(folder, header)

    @classmethod
    def open(cls, folder: str | Path) -> "Shards":
        """Opens a complete store; every file is checked against its SHA-256.

        Raises:
            InputError: It is no store, shards are missing or damaged (each is named), or rows
                are not those that `shards.json` lists.
        """
        folder = Path(folder)
        store = cls(folder, _read_header(folder))
        problems = [text for shard in range(store._count) if (text := store._problem(shard))]
        surplus = sorted(p.name for p in folder.glob("shard-*.npz") if p not in store._paths())
        problems += [f"{name}: shards.json knows no such shard" for name in surplus]
        if problems:
            raise InputError(
                f"{folder} is not a whole store of probabilities:\n"
                + "\n".join(first_lines([f"  {text}" for text in problems]))
                + "\nGive the command that writes it again: it writes what is missing."
            )
        return store

    def missing(self) -> list[list[int]]:
        """The positions in `ids` of each shard that is not there yet, or is damaged."""
        return [self._positions(i) for i in range(self._count) if self._problem(i) is not None]

    def write(
        self,
        positions: Sequence[int],
        probabilities: Sequence[np.ndarray],
        weights: Sequence[np.ndarray] | None = None,
    ) -> None:
        """Writes one shard, whole or not at all; one that is there is replaced.

        Args:
            positions: One of the lists that `missing` gives.
            probabilities: Of each of these, (H, W, K), finite and in [0, 1].
            weights: Of each of these, (H * W,) above 0, for `weights`; None: there are none.

        Raises:
            InputError: Other shapes, values that are no probabilities, or weights not above 0.
            EnvironmentFault: No space, no permission.
        """
        positions = [int(p) for p in positions]
        shard = positions[0] // self._per_shard if positions else -1
        if not 0 <= shard < self._count or positions != self._positions(shard):
            raise InputError(
                f"{self.folder}: a shard has the positions that `missing` lists; got {positions}."
            )
        if len(positions) != len(probabilities):
            raise InputError(
                f"{self.folder}: {len(positions)} ids came with {len(probabilities)} arrays."
            )
        ids = [self.ids[p] for p in positions]
        arrays = [self._checked(*pair) for pair in zip(ids, probabilities, strict=True)]
        more = {} if weights is None else {"weights": self._joined(arrays, weights)}
        content = io.BytesIO()
        np.savez_compressed(
            content,
            ids=np.array(ids, dtype=str),
            heights=np.array([a.shape[0] for a in arrays], np.int64),
            widths=np.array([a.shape[1] for a in arrays], np.int64),
            probabilities=np.concatenate([a.reshape(-1, self.num_classes) for a in arrays]),
            **more,
        )
        path = self._path(shard)
        path.with_suffix(".json").unlink(missing_ok=True)  # it speaks of the old file
        write_bytes(path, content.getvalue())
        sealed = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        write_json(path.with_suffix(".json"), sealed)
        self._held = (-1, [])

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        """(id, (H, W, K) float32) in the order of `ids`; one shard is held at a time."""
        for shard in range(self._count):
            names = [self.ids[p] for p in self._positions(shard)]
            yield from zip(names, (found for found, _ in self._read(shard)), strict=True)

    def __getitem__(self, name: str) -> np.ndarray:
        """(H, W, K) float32 of one id.

        Raises:
            InputError: There is no such id, or its shard is not there or damaged.
        """
        return self._find(name)[0]

    def weights(self, name: str) -> np.ndarray:
        """(H * W,) float64 of one id, as they were written.

        Raises:
            InputError: As for the probabilities, or none were written.
        """
        found = self._find(name)[1]
        if found is None:
            raise InputError(f"{self.folder} was written without weights.")
        return found

    def _find(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        if name not in self._places:
            raise InputError(f"{self.folder} has no probabilities of {name!r}.")
        shard, row = divmod(self._places[name], self._per_shard)
        if self._held[0] != shard:
            self._held = (shard, self._read(shard))
        return self._held[1][row]

    @property
    def _count(self) -> int:
        return -(-len(self.ids) // self._per_shard)

    def _positions(self, shard: int) -> list[int]:
        first = shard * self._per_shard
        return list(range(first, min(first + self._per_shard, len(self.ids))))

    def _path(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:05d}.npz"

    def _paths(self) -> set[Path]:
        return {self._path(shard) for shard in range(self._count)}

    def _problem(self, shard: int) -> str | None:
        """What is wrong with the file of a shard; None: nothing."""
        path = self._path(shard)
        sealed = path.with_suffix(".json")
        if not path.is_file() or not sealed.is_file():
            return f"{path.name}: not written yet"
        try:
            stated = json.loads(sealed.read_text(encoding="utf-8"))
            size, digest = stated["bytes"], stated["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return f"{sealed.name}: cannot be read"
        if path.stat().st_size != size:
            return f"{path.name}: {path.stat().st_size} bytes, {size} were written"
        if sha256_of(path) != digest:
            return f"{path.name}: its content is not what was written (SHA-256)"
        try:
            with np.load(path, allow_pickle=False) as file:
                ids = [str(i) for i in file["ids"]]
        except _DAMAGE as error:
            return f"{path.name}: cannot be read ({error})"
        if ids != [self.ids[p] for p in self._positions(shard)]:
            return f"{path.name}: its ids are not those that shards.json lists there"
        return None

    def _read(self, shard: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """Probabilities (H, W, K) float32 and weights (H * W,), or None, of each image."""
        path = self._path(shard)
        try:
            with np.load(path, allow_pickle=False) as file:
                heights, widths = file["heights"].tolist(), file["widths"].tolist()
                pixels = file["probabilities"].astype(np.float32)
                weights = file["weights"] if "weights" in file.files else None
            ends = np.cumsum(np.multiply(heights, widths))[:-1]
            own = [None] * len(heights) if weights is None else np.split(weights, ends)
            sizes = zip(np.split(pixels, ends), heights, widths, own, strict=True)
            return [(p.reshape(h, w, self.num_classes), own) for p, h, w, own in sizes]
        except _DAMAGE as error:
            raise InputError(
                f"{path} cannot be read ({error}). Give the command that writes it again: it "
                "writes what is missing."
            ) from error

    def _joined(self, arrays: list[np.ndarray], weights: Sequence[np.ndarray]) -> np.ndarray:
        """The weights of all images, checked."""
        found = [np.asarray(own, np.float64) for own in weights]
        if [own.shape for own in found] != [(a.shape[0] * a.shape[1],) for a in arrays]:
            raise InputError(
                f"{self.folder}: each image needs a weight a pixel, (H * W,); got shapes "
                f"{[own.shape for own in found][:5]}."
            )
        joined = np.concatenate(found)
        if not (np.isfinite(joined).all() and (joined > 0).all()):
            raise InputError(f"{self.folder}: weights must be numbers above 0.")
        return joined

    def _checked(self, name: str, array: np.ndarray) -> np.ndarray:
        array = np.asarray(array)
        if array.ndim != 3 or array.shape[-1] != self.num_classes or not array.size:
            raise InputError(
                f"{self.folder}: probabilities must be (H, W, {self.num_classes}); those of "
                f"{name!r} are {array.shape}."
            )
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1.001:
            raise InputError(
                f"{self.folder}: the probabilities of {name!r} are not all finite and in [0, 1]. "
                "The model is damaged or its training went wrong; nothing of this shard is written."
            )
        return np.minimum(array, 1).astype(np.float16)


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / "shards.json"
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        kinds = {"ids": list, "class_names": list, "origin": dict, "per_shard": int}
        wrong = [key for key, kind in kinds.items() if not isinstance(header[key], kind)]
        version = header["version"]
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} is no store of probabilities: it has no shards.json."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error!r}). Write the store again.") from error
    if version != VERSION:
        raise InputError(
            f"{path} has version {version}; this program reads {VERSION}. Write the store again."
        )
    if wrong or header["per_shard"] < 1 or len(set(header["ids"])) < len(header["ids"]):
        raise InputError(
            f"{path} is damaged ({', '.join(wrong) or 'an id comes twice, or per_shard is not'} "
            "as it must be). Write the store again."
        )
    return header


def _check_same(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for key, what in (("ids", "ids"), ("class_names", "classes"), ("origin", "origin")):
        if before[key] != now[key]:
            raise InputError(
                f"{folder} has probabilities of other {what}: {_brief(before[key])} there, "
                f"{_brief(now[key])} now. Choose another folder, or remove that one."
            )


def _names(folder: Path) -> list[str]:
    """What lies there, save what a process killed in the middle of a write leaves."""
    return [p.name for p in folder.iterdir() if not p.name.endswith(".tmp")]


def _brief(value: list | dict) -> str:
    if isinstance(value, list):
        return f"{len(value)} ({some(value)})"
    return json.dumps(value, ensure_ascii=False)[:300]
