"""Images without labels, and what they are to the samples of a run. No TensorFlow here."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfvision.config import DataConfig
from tfvision.data.audit.similar_images import find_pictures
from tfvision.data.scan.result import Scan
from tfvision.data.scan.scan import scan
from tfvision.data.sources.source import Record, Source
from tfvision.data.split.named_groups import group_begun
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.opening import open_beside

# Why an image is left out of the training.
EQUAL = "the very image of a sample that is not trained on"
NEAR = "nearly the image of a sample that is not trained on"
GROUP = "of the group of a sample that is not trained on"
KNOWN = "the very image of a training sample, which has its label"


@dataclass(frozen=True)
class Images:
    """Images without labels.

    Attributes:
        source, scan: What holds them, beside others perhaps.
        indices: Their places in it.
    """

    source: Source
    scan: Scan
    indices: list[int]

    @property
    def records(self) -> list[Record]:
        return [self.source.records[i] for i in self.indices]

    @property
    def hashes(self) -> list[str]:
        """SHA-256 of the pixels of each."""
        return [self.scan.image_sha256[i] for i in self.indices]

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(id, part) of each, the part "" where ids are unique."""
        once = len({record.id for record in self.records}) == len(self.indices)
        return [(record.id, "" if once else record.part) for record in self.records]


@dataclass(frozen=True)
class Kin:
    """The labelled samples that an image is the same as; places in the run's own source.

    Attributes:
        equal: Pixel for pixel.
        near: Nearly, or together with it in a cluster of near-duplicates that is no chain.
        group: Of its group.
    """

    equal: set[int]
    near: set[int]
    group: set[int]

    def problem(self, splits: Sequence[str | None]) -> str:
        """Why the image may not be trained on under these splits of the samples, or ""."""
        for reason, kin in ((EQUAL, self.equal), (NEAR, self.near), (GROUP, self.group)):
            if any(splits[i] != "train" for i in kin):
                return reason
        return KNOWN if self.equal else ""


def open_images(config: DataConfig, prepared: Prepared, path: Path | None) -> Images:
    """The images without labels of the run's own data, or of another data set.

    Raises:
        InputError: There is none, the other set cannot be used, or has other classes.
    """
    if path is None:
        source, found = prepared.source, prepared.scan
    else:
        own = prepared.source
        source = open_beside(
            config, path, mask_values=own.mask_values, white=own.white, truth_needed=False
        )
        found = scan(
            source,
            class_names=prepared.class_names,
            ignore_label=config.ignore_label,
            on_bad_sample=config.on_bad_sample,
        )
        found.raise_for_errors()
    indices = [
        i for i, record in enumerate(source.records) if not record.labelled and found.facts[i]
    ]
    if not indices:
        where = f"--unlabelled (data.pseudo_images) {path}" if path else source.layout
        advice = (
            "Give a folder of images, or a data set that holds some without labels."
            if path
            else "Name a folder of images with --unlabelled (data.pseudo_images)."
        )
        raise InputError(
            f"{where}: it has no image without a label ({len(source)} with one). {advice}"
        )
    return Images(source, found, indices)


def kin_of(
    prepared: Prepared, images: Images, places: Sequence[int], pattern: str | None
) -> list[Kin]:
    """What each of some images is the same as, among all labelled samples of the run's data.

    Images are compared as the audit compares them: by the hash of their pixels and by
    thumbnails.

    Args:
        prepared: The run's data.
        images: The images.
        places: Which of `images.indices`, by their position in it.
        pattern: `data.groups`: `names`, `none`, what finds a group in an id, or None.
    """
    own = [
        i for i, r in enumerate(prepared.source.records) if r.labelled and prepared.scan.facts[i]
    ]
    there = [images.indices[p] for p in places]
    sides = ((prepared.source, prepared.scan, own, "own"), (images.source, images.scan, there, "u"))
    found = find_pictures(
        [scan.facts[i] for _, scan, chosen, _ in sides for i in chosen],
        [f"{side}/{src.records[i].part}" for src, _, chosen, side in sides for i in chosen],
        [scan.image_sha256[i] for _, scan, chosen, _ in sides for i in chosen],
    )
    near: list[set[int]] = [set() for _ in there]
    chains = {tuple(chain) for chain in found.chains}
    together = [c for c in found.clusters if tuple(c) not in chains]
    for members in [*together, *found.near]:
        labelled = {own[m] for m in members if m < len(own)}
        for member in members:
            if member >= len(own):
                near[member - len(own)] |= labelled
    of_hash: dict[str, set[int]] = {}
    of_group: dict[str, set[int]] = {}
    for i in own:
        of_hash.setdefault(prepared.scan.image_sha256[i], set()).add(i)
        if (group := prepared.source.records[i].group) is not None:
            of_group.setdefault(group, set()).add(i)
    return [
        Kin(
            of_hash.get(images.scan.image_sha256[i], set()),
            kin,
            of_group.get(_group(images.source.records[i], pattern, of_group), set()),
        )
        for i, kin in zip(there, near, strict=True)
    ]


def _group(record: Record, pattern: str | None, groups: Iterable[str]) -> str:
    """The group that an image without a label would be in, or "": `group_by` gives it none."""
    if pattern == "names" and record.group is None:
        return group_begun(record.id, groups) or ""
    if pattern in (None, "none", "names"):
        return record.group or ""
    expression = re.compile(pattern)
    match = expression.search(record.id)
    return (match[1 if expression.groups else 0] or "") if match else ""
