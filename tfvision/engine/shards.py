"""Predictions on disk, in shards: resumable, checked, exactly one row an id. NumPy only.

A store is a folder:

    shards.json        version, ids, class_names, origin, per_shard; of version 2 arrays, too
    shard-00000.npz    ids (n,), heights (n,), widths (n,), probabilities (sum of H * W, K)
                       float16: the pixels of one image row by row, the images one after another;
                       weights (sum of H * W,) float64 where there are any
    shard-00000.json   bytes and sha256 of the npz; written after it, so it says "complete"

Version 1 holds maps of probabilities, as above. Version 2 holds predictions of any other kind,
arrays by name: of each name the values of all images on end, and `<name>_shape` (n, dimensions).


Shard i has the ids [i * per_shard, (i + 1) * per_shard). float16 keeps 11 binary digits: what
comes back differs by at most 2^-12 from what was written. It is not normalised anew, so the sum
over a pixel's classes may miss 1 by K * 2^-12.
"""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.files import sha256_of, write_bytes, write_json
from tfvision.engine.shard_files import (
    VERSIONS,
    check_same_store,
    named_rows,
    names_in,
    read_header,
)
from tfvision.errors import InputError
from tfvision.text import first_lines, some

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
        self.arrays: list[str] | None = header.get("arrays")
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
        arrays: Sequence[str] | None = None,
    ) -> "Shards":
        """Makes a store, or opens one that was begun, to write what is `missing`.

        Args:
            folder: Where it is to be.
            ids: One an image, no two equal.
            class_names: Of the K classes.
            origin: Plain values that tell what the probabilities come from.
            per_shard: Images a shard; a store that was begun keeps its own.
            arrays: Names of the arrays of a prediction; None: `probabilities` (H, W, K) alone.

        Raises:
            InputError: An id comes twice; or the folder holds something else, or a store of
                other ids, classes or origin.
        """
        folder = Path(folder)
        header = {
            "version": VERSIONS[0] if arrays is None else VERSIONS[1],
            "ids": [str(i) for i in ids],
            "class_names": [str(name) for name in class_names],
            "origin": json.loads(json.dumps(origin)),  # as it will be read back
            "per_shard": int(per_shard),
            **({} if arrays is None else {"arrays": list(arrays)}),
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
            before = read_header(folder)
            check_same_store(folder, before, header)
            return cls(folder, before)
        if folder.exists() and (not folder.is_dir() or any(names_in(folder))):
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
        store = cls(folder, read_header(folder))
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

    def write_predictions(
        self, positions: Sequence[int], predictions: Sequence[Mapping[str, np.ndarray]]
    ) -> None:
        """Writes one shard of predictions, arrays by name; see `write`.

        Raises:
            InputError: A prediction has other arrays than the store, or as `write`.
            EnvironmentFault: No space, no permission.
        """
        if self.arrays is None:
            self.write(positions, [one["probabilities"] for one in predictions])
            return
        shard, ids = self._place(positions, len(predictions))
        for name, one in zip(ids, predictions, strict=True):
            if sorted(one) != sorted(self.arrays):
                raise InputError(
                    f"{self.folder} holds the arrays {', '.join(self.arrays)}; the prediction of "
                    f"{name!r} has {', '.join(sorted(one))}."
                )
        content: dict[str, np.ndarray] = {}
        for key in self.arrays:
            rows = [np.asarray(one[key]) for one in predictions]
            content[key] = np.concatenate([row.reshape(-1) for row in rows])
            content[f"{key}_shape"] = np.array([row.shape for row in rows], np.int64)
        self._seal(shard, ids, content)

    def write(
        self,
        positions: Sequence[int],
        probabilities: Sequence[np.ndarray],
        weights: Sequence[np.ndarray] | None = None,
    ) -> None:
        """Writes one shard of maps, whole or not at all; one that is there is replaced.

        Args:
            positions: One of the lists that `missing` gives.
            probabilities: Of each of these, (H, W, K), finite and in [0, 1].
            weights: Of each of these, (H * W,) above 0, for `weights`; None: there are none.

        Raises:
            InputError: Other shapes, values that are no probabilities, or weights not above 0.
            EnvironmentFault: No space, no permission.
        """
        shard, ids = self._place(positions, len(probabilities))
        maps = [self._checked(*pair) for pair in zip(ids, probabilities, strict=True)]
        content = {
            "heights": np.array([a.shape[0] for a in maps], np.int64),
            "widths": np.array([a.shape[1] for a in maps], np.int64),
            "probabilities": np.concatenate([a.reshape(-1, self.num_classes) for a in maps]),
        }
        if weights is not None:
            content["weights"] = self._joined(maps, weights)
        self._seal(shard, ids, content)

    def _place(self, positions: Sequence[int], count: int) -> tuple[int, list[str]]:
        """Number and ids of the shard that has just these positions, of `count` rows."""
        positions = [int(p) for p in positions]
        shard = positions[0] // self._per_shard if positions else -1
        if not 0 <= shard < self._count or positions != self._positions(shard):
            raise InputError(
                f"{self.folder}: a shard has the positions that `missing` lists; got {positions}."
            )
        if len(positions) != count:
            raise InputError(f"{self.folder}: {len(positions)} ids came with {count} arrays.")
        return shard, [self.ids[p] for p in positions]

    def _seal(self, shard: int, ids: list[str], arrays: Mapping[str, np.ndarray]) -> None:
        content = io.BytesIO()
        np.savez_compressed(content, ids=np.array(ids, dtype=str), **arrays)
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

    def prediction(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of one id by name; of maps `probabilities` (H, W, K) float32."""
        row = self._find(name)[0]
        return {"probabilities": row} if self.arrays is None else row

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
                if self.arrays is not None:
                    return [(row, None) for row in named_rows(file, self.arrays)]
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
