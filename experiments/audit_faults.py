"""How well the audit finds stains and intruders among real pictures, and what it says of none.

    python experiments/audit_faults.py
    python experiments/audit_faults.py --data ../shared/data --draws 20 --seeds 3 > audit_figures.md

DATA holds masked_cells, blood_cells, shifted_signs, brain and mars_shaped; what is absent is
skipped, and said. The embedded scenes are always there. Every draw takes at random at most 160
pictures of a set, in any order or in that of the set, and the audit looks at these alone.

    no fault     nothing is planted
    stains       15 of them get a patch of 4 to 20 % of the picture: an ellipse, a rectangle, a
                 star, a pen stroke; of any colour, of grey in a quarter of the cases and in grey
                 pictures; half are flat, half have noise of 1 to 6 grey levels
    with a twin  the same, and the picture without the patch stays in the set
    one mask     12 others hold the mask of one of them: pictures of the set, or of another kind

Named means suspected, and so proposed for exclusion. A genuine picture that is named is an error
of the worst kind; of `one mask` the owner is counted apart, which may be named with the others
where its ownership cannot be shown.
"""

import argparse
import colorsys
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_sample_images

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tfvision.data.audit.audit import audit
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.embedded_masks import embedded

MOST = 160  # pictures of a draw
STAINED, INTRUDERS = 15, 12
Pictures = list[np.ndarray]


def scenes(_: Path) -> tuple[Pictures, Pictures]:
    source = embedded()
    samples = [source.read_raw(i) for i in range(400)]
    return [sample.image for sample in samples], [sample.mask for sample in samples]


def pairs(name: str) -> Callable[[Path], tuple[Pictures, Pictures]]:
    def read(data: Path):
        both = np.load(data / "mars_shaped" / name)["training_set"]
        return [pair[0][..., None] for pair in both], [pair[1] for pair in both]

    return read


def brain(data: Path) -> tuple[Pictures, Pictures]:
    arrays = np.load(data / "brain" / "mni152_axial.npz")
    x, y = arrays["x"].squeeze(), arrays["y"].squeeze()
    return [image[..., None] for image in x], list(y)


def cells(data: Path) -> tuple[Pictures, Pictures]:
    files = sorted((data / "masked_cells" / "train_data").glob("img_*.png"))
    masks = [file.with_name(file.name.replace("img_", "mask_")) for file in files]
    return [_read(f) for f in files], [cv2.imread(str(m), cv2.IMREAD_GRAYSCALE) for m in masks]


def folder(*where: str) -> Callable[[Path], tuple[Pictures, None]]:
    def read(data: Path):
        files = sorted(p for p in data.joinpath(*where).rglob("*") if p.suffix in (".png", ".jpg"))
        return [_read(file) for file in files], None

    return read


def _read(file: Path) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(file))[..., ::-1])


SETS = {
    "embedded scenes, grey": scenes,
    "Mars tiles, grey": pairs("mars_tiles.npz"),
    "street scenes, grey": pairs("street_scenes.npz"),
    "brain slices, grey": brain,
    "masked cells, colour": cells,
    "blood cells, colour": folder("blood_cells", "images"),
    "signs, colour": folder("shifted_signs", "train"),
}


def stain(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """A stained copy, and whether the stain is flat."""
    height, width, channels = image.shape
    drawn = np.zeros((height, width), np.uint8)
    share, turn = rng.uniform(0.04, 0.2), rng.uniform(0, 2 * np.pi)
    middle = rng.uniform(0.15, 0.85, 2) * (width, height)
    shape = rng.choice(["ellipse", "rectangle", "star", "stroke"])
    size = np.sqrt(share * height * width)
    while drawn.mean() < share:  # until what lies in the picture is as large as it must be
        drawn[:] = 0
        if shape == "stroke":
            _stroke(drawn, middle, turn, size * 2.5, thick=max(2, round(size / 3.5)))
        else:
            angles = turn + np.linspace(0, 2 * np.pi, 90, endpoint=False)
            radius = {
                "ellipse": np.hypot(np.cos(angles - turn), 0.6 * np.sin(angles - turn)),
                "rectangle": 1 / np.maximum(abs(np.cos(angles)), abs(np.sin(angles)) * 1.5),
                "star": 1 + 0.35 * np.cos(5 * (angles - turn)),
            }[shape]
            points = (
                middle
                + size * 0.5 * np.stack([np.cos(angles), np.sin(angles)], 1) * (radius[:, None])
            )
            cv2.fillPoly(drawn, [np.rint(points).astype(np.int32)], 1)
        size *= 1.06
        middle += 0.1 * ((width / 2, height / 2) - middle)
    grey = channels == 1 or rng.random() < 0.25
    colour = np.full(3, rng.uniform(0, 255))
    if not grey:
        hue = rng.random(), rng.uniform(0.5, 1), rng.uniform(0.3, 1)
        colour = 255 * np.array(colorsys.hsv_to_rgb(*hue))
    noise = 0.0 if rng.random() < 0.5 else rng.uniform(1, 6)
    patch = colour[:channels] + rng.normal(0, noise, image.shape)
    mixed = np.where(drawn[..., None] > 0, patch, image)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), noise == 0


def _stroke(drawn: np.ndarray, middle, turn: float, length: float, thick: int) -> None:
    """A wave through the middle."""
    steps = np.linspace(-0.5, 0.5, 40)
    wave = np.stack([steps * length, np.sin(steps * 9) * length / 8], axis=1)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points = np.rint(middle + wave @ rotation).astype(np.int32)
    cv2.polylines(drawn, [points], False, 1, thick)


def other_kind(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A piece of a photograph, brought to a shape."""
    photo = load_sample_images().images[int(rng.integers(2))]
    side = int(rng.integers(120, 360))
    top, left = (int(rng.integers(0, n - side)) for n in photo.shape[:2])
    piece = cv2.resize(photo[top : top + side, left : left + side], shape[1::-1], interpolation=3)
    return piece if shape[2] == 3 else piece.mean(axis=2, keepdims=True).astype(np.uint8)


def named(images: Pictures, masks: Pictures | None) -> dict[int, set[str]]:
    """Picture -> the kinds of the findings that suspect it."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        shapes.setdefault(image.shape, []).append(i)
    parts, order = {}, []
    for number, places in enumerate(shapes.values()):
        part = {"images": np.stack([images[i] for i in places])}
        if masks is not None:
            part["masks"] = np.stack([masks[i] for i in places]).astype(np.int32)
        parts["" if len(shapes) == 1 else f"part{number}"] = part
        order += places
    source = ArraySource(parts)
    found = scan(source, cache=False)
    found.raise_for_errors()
    suspects: dict[int, set[str]] = {}
    for finding in audit(source, found).findings:
        for i in finding.suspects:
            suspects.setdefault(order[i], set()).add(finding.kind)
    return suspects


def drawn(images: Pictures, masks: Pictures | None, rng: np.random.Generator):
    """Pictures and masks of a draw."""
    most = min(MOST, len(images))
    chosen = rng.permutation(len(images))[: int(rng.integers(most * 2 // 3, most + 1))]
    chosen = np.sort(chosen) if rng.random() < 0.5 else chosen
    return [images[i] for i in chosen], None if masks is None else [masks[i] for i in chosen]


def no_fault(images, masks, rng) -> Counter:
    suspects = named(*drawn(images, masks, rng))
    for i, kinds in suspects.items():
        print(f"    named without a fault: {i}, {sorted(kinds)}", file=sys.stderr)
    return Counter(draws=1, genuine=len(suspects))


def stains(images, masks, rng, *, twin: bool) -> Counter:
    images, masks = drawn(images, masks, rng)
    flat: dict[int, bool] = {}
    for i in rng.permutation(len(images))[:STAINED].tolist():
        image, is_flat = stain(images[i], rng)
        if twin:
            images.append(image)
            masks = masks and [*masks, masks[i]]
            flat[len(images) - 1] = is_flat
        else:
            images[i], flat[i] = image, is_flat
    suspects = set(named(images, masks))
    right = [is_flat for i, is_flat in flat.items() if i in suspects]
    return Counter(
        planted=len(flat),
        found=len(right),
        flat=sum(flat.values()),
        flat_found=sum(right),
        genuine=len(suspects - set(flat)),
    )


def one_mask(images, masks, rng, *, strange: bool) -> Counter:
    images, masks = drawn(images, masks, rng)
    like = Counter(mask.shape for mask in masks)
    able = [i for i, m in enumerate(masks) if len(np.unique(m)) > 1 and like[m.shape] > INTRUDERS]
    owner = int(rng.choice(able))
    others = [i for i, m in enumerate(masks) if i != owner and m.shape == masks[owner].shape]
    intruders = set(rng.permutation(others)[:INTRUDERS].tolist())
    for i in intruders:
        masks[i] = masks[owner]
        if strange:
            images[i] = other_kind(images[i].shape, rng)
    suspects = set(named(images, masks))
    return Counter(
        planted=len(intruders),
        found=len(intruders & suspects),
        owner=int(owner in suspects),
        groups=1,
        genuine=len(suspects - intruders - {owner}),
    )


CASES = {
    "no fault": no_fault,
    "stains": lambda *a: stains(*a, twin=False),
    "stains, with a twin": lambda *a: stains(*a, twin=True),
    "one mask, pictures of the set": lambda *a: one_mask(*a, strange=False),
    "one mask, pictures of another kind": lambda *a: one_mask(*a, strange=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--draws", type=int, default=20, help="of sets without a fault")
    parser.add_argument("--seeds", type=int, default=3, help="of each other case")
    arguments = parser.parse_args()
    began, rows = time.monotonic(), {}
    for name, read in SETS.items():
        try:
            images, masks = read(arguments.data)
        except FileNotFoundError:
            images, masks = [], None
        if not images:
            print(f"{name}: not in {arguments.data}, skipped", file=sys.stderr)
            continue
        for number, (case, measure) in enumerate(CASES.items()):
            if case.startswith("one mask") and masks is None:
                continue
            total = Counter()
            for seed in range(arguments.draws if case == "no fault" else arguments.seeds):
                total += measure(images, masks, np.random.default_rng([number, seed]))
            rows[case, name] = total
            print(f"{name}: {case}: {dict(total)}", file=sys.stderr)
    print(report(rows))
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


def report(rows: dict[tuple[str, str], Counter]) -> str:
    """Tables in Markdown."""

    def share(part: int, whole: int) -> str:
        return f"{part} of {whole} ({part / whole:.2f})" if whole else "-"

    lines = ["| set | no fault: draws | genuine named |", "|---|---|---|"]
    for (case, name), t in rows.items():
        if case == "no fault":
            lines.append(f"| {name} | {t['draws']} | {t['genuine']} |")
    lines += ["", "| stains in | twin | named | flat ones | with noise | genuine named |"]
    lines += ["|---|---|---|---|---|---|"]
    for (case, name), t in rows.items():
        if case.startswith("stains"):
            noisy = share(t["found"] - t["flat_found"], t["planted"] - t["flat"])
            flat, all_of = share(t["flat_found"], t["flat"]), share(t["found"], t["planted"])
            twin = "yes" if "twin" in case else "no"
            lines.append(f"| {name} | {twin} | {all_of} | {flat} | {noisy} | {t['genuine']} |")
    lines += ["", "| one mask in | intruders are pictures | named | owners named | others named |"]
    lines += ["|---|---|---|---|---|"]
    for (case, name), t in rows.items():
        if case.startswith("one mask"):
            kind = case.removeprefix("one mask, pictures ")
            owners = f"{t['owner']} of {t['groups']}"
            found = share(t["found"], t["planted"])
            lines.append(f"| {name} | {kind} | {found} | {owners} | {t['genuine']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
