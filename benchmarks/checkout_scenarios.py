"""What compare_checkouts.py runs: tiny data sets, configs, and named lists of commands.

A command is written as in a shell. `$data` is the folder of data sets and configs, `$here` the
scenario's own folder, `$out` the folder of all scenarios of this checkout, `$old` that of OLD:
commands on `$old` show that NEW reads what OLD wrote. Beside programs there are `copy FROM TO`
and `killed COMMAND`, which ends by SIGKILL when a checkpoint behind step 0 is there.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Scenario:
    """Commands, one after the other, that write into a folder of their own.

    Attributes:
        name: Also of the folder.
        commands: As the head of this file says.
        needs: Scenarios whose folders it reads.
        fails: Every command is to end with an error.
        loose: Patterns of files that depend on the moment of a kill: not compared.
    """

    name: str
    commands: tuple[str, ...]
    needs: tuple[str, ...] = ()
    fails: bool = False
    loose: tuple[str, ...] = ()


COLOURS = {"dark": 70, "grey": 130, "light": 200}  # classes, and how bright an object of each is
SEG = {
    "seed": 1,
    "data": {"batch_size": 4, "augment": ["flip_lr(p=0.5)", "rotate(max_degrees=10)"]},
    "model": {"name": "unet", "width": 4, "depth": 1, "dropout": 0.2},
    "loss": ["cross_entropy(class_weights='sqrt_inverse')", "dice(weight=0.5)"],
    "train": {
        "epochs": 2,
        "optimizer": {"name": "adamw", "learning_rate": 1e-2},
        "schedule": "cosine(warmup=0.05)",
        "ema": 0.9,
        "clip_norm": 1.0,
        "export": False,
    },
}
CLS = {
    "task": "classification",
    "seed": 1,
    "data": {"batch_size": 4, "augment": ["flip_lr(p=0.5)", "brightness(max_delta=0.1)"]},
    "model": {"name": "small_cnn", "filters": [4, 4], "units": 8},
    "loss": ["cross_entropy(label_smoothing=0.1)"],
    "metrics": ["macro_f1"],
    "train": {
        "epochs": 2,
        "optimizer": {"name": "adamw", "learning_rate": 1e-2},
        "ema": 0.9,
        "export": False,
    },
}


def write_data(root: Path) -> None:
    """All data sets and configs, the same ones on every call."""
    _write_scenes(root)
    _write_objects(root)
    pieces = {"input": "patches(min_size=4)", "image_size": [12, 12], "aggregate": "area"}
    configs = {
        "seg": SEG,
        "cls": CLS,
        "pieces": {**CLS, "data": {**CLS["data"], **pieces}},
        "median": {"class_names": list(COLOURS), "input": pieces["input"], "aggregate": "median"},
        "ladder_seg": _ladder(SEG, "unet", {"width": 6, "depth": 1}, seeds=[0, 1]),
        "ladder_cls": _ladder(CLS, "small_cnn", {"filters": [6, 6], "units": 8}, seeds=[0]),
        "search": {
            "base": SEG,
            "folds": 2,
            "candidates": [
                {"name": "dice", "set": {"loss": ["dice"]}},
                {"name": "rising", "set": {"loss": ["focal(weight=1.0, weight_end=0.1)"]}},
            ],
        },
    }
    for name, content in configs.items():  # JSON is YAML
        (root / f"{name}.yaml").write_text(json.dumps(content, indent=1))


def _ladder(base: dict, model: str, wider: dict, *, seeds: list[int]) -> dict:
    rungs = [
        {"name": "low", "about": "The lowest.", "reported": 0.4},
        {"name": "wide", "from": "low", "over": {"model": {"name": model, **wider}}},
    ]
    train = {key: value for key, value in base["train"].items() if key != "epochs"}
    base = {**{key: value for key, value in base.items() if key != "seed"}, "train": train}
    return {"base": base, "steps": 6, "seeds": seeds, "rungs": rungs}


def _scene(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and its mask: blocks whose grey level tells their class, 0 to 2."""
    rng = np.random.default_rng(seed)
    blocks = rng.permutation(np.arange(height // 8 * (width // 8)) % 3)
    mask = np.kron(blocks.reshape(height // 8, width // 8), np.ones((8, 8))).astype(np.uint8)
    image = 40 + 60 * mask + rng.normal(0, 35, mask.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _write_scenes(root: Path) -> None:
    """scenes/ (one size), sizes/ (several), mars.npz (a test set without labels), its truth."""
    for seed in range(30):
        for part, array in zip(("images", "masks"), _scene(seed, 24, 32), strict=True):
            _save(root / "scenes" / part / f"s{seed:02d}.png", array)
    for seed, size in enumerate(((24, 32), (40, 56), (32, 24)), 100):
        for part, array in zip(("images", "masks"), _scene(seed, *size), strict=True):
            _save(root / "sizes" / part / f"s{seed}.png", array)
    train = np.stack([np.stack(_scene(seed, 24, 32)) for seed in range(200, 216)])
    test = np.stack([np.stack(_scene(seed, 24, 32)) for seed in range(300, 306)])
    np.savez(root / "mars.npz", training_set=train, test_set=test[:, 0])
    np.savez(root / "truth.npz", masks=test[:, 1])


def _object(seed: int, level: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of two squares of nearly one brightness, and the mask of both."""
    rng = np.random.default_rng(seed)
    image, mask = rng.normal(40, 15, (24, 32)), np.zeros((24, 32), np.uint8)
    for left, side in ((1, 10), (18, 7)):
        top, left = rng.integers(0, 24 - side), left + rng.integers(0, 5)
        place = np.s_[top : top + side, left : left + side]
        image[place], mask[place] = rng.normal(level, 45, (side, side)), 255
    return np.clip(image, 0, 255).astype(np.uint8), mask


def _write_objects(root: Path) -> None:
    """shapes/ (a folder a class), cells/ (CSV, boxes, masks), loose/, unseen.npz, its truth."""
    rows = [["file", "label", "xmin", "ymin", "xmax", "ymax", "mask"]]
    for seed in range(36):
        name = list(COLOURS)[seed % 3]
        image, mask = _object(seed, COLOURS[name])
        _save(root / "shapes" / name / f"s{seed:02d}.png", image)
        _save(root / "cells" / f"img_{seed:03d}.png", image)
        _save(root / "cells" / f"mask_{seed:03d}.png", mask)
        y, x = np.nonzero(mask)
        box = [int(v) for v in (x.min(), y.min(), x.max() + 1, y.max() + 1)]
        rows.append([f"img_{seed:03d}.png", name, *box, f"mask_{seed:03d}.png"])
    _write_csv(root / "cells" / "labels.csv", rows)
    levels = [COLOURS[name] for name in COLOURS]
    for seed in range(500, 509):
        _save(root / "loose" / f"l{seed}.png", _object(seed, levels[seed % 3])[0])
    images = [_object(seed, levels[seed % 3])[0] for seed in range(600, 630)]
    np.savez(
        root / "unseen.npz",
        x_train=np.stack(images[:24]),
        y_train=np.arange(24) % 3,
        x_test=np.stack(images[24:]),
    )
    _write_csv(root / "truth.csv", [["Id", "Category"], *([i, i % 3] for i in range(6))])


def _write_csv(path: Path, rows: list) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


SCENES = "train_seg.py --config $data/seg.yaml --data $data/scenes"
SHAPES = "train_cls.py --config $data/cls.yaml --data $data/shapes"
CELLS = "--config $data/pieces.yaml --data $data/cells/labels.csv"
COMMANDS = (
    *("evaluate", "predict", "submit", "export", "compare", "audit", "remove-background"),
    *("models", "doctor", "ladder", "search", "ensemble", "pseudo", "postprocess"),
    *("aggregate", "calibrate"),
)
AFTER_A_KILL = ("said/*", "*/log.txt", "*/report.html", "*/checkpoints/*")

OF_SEGMENTATION = [
    Scenario(
        "seg_scenes",
        (f"{SCENES} --set train.export=true --json --out $here/run",),
    ),
    Scenario(
        "seg_deep",
        (
            f"{SCENES} --set seed=2 --set data.splits=$out/seg_scenes/run/splits.csv"
            " --set 'model={name: unetpp, width: 4, depth: 2, deep_supervision: true}'"
            " --out $here/run",
        ),
        needs=("seg_scenes",),
    ),
    Scenario(
        "seg_embedded",
        (
            "train_seg.py --arch unet --set model.width=4 --set model.depth=1 --out $here/run"
            " --set train.epochs=1 --set train.export=false --set data.image_size=[32,64]",
        ),
    ),
    Scenario(
        "seg_mars",
        (
            "train_seg.py --config $data/seg.yaml --data $data/mars.npz --out $here/run"
            " --set 'metrics=[\"mean_iou(ignore_labels=[0])\"]'"
            " --set 'postprocess=[smallest_component(pixels=3)]' --on-bad-sample quarantine",
        ),
    ),
    Scenario("seg_dry_run", (f"{SCENES} --dry-run --json --out $here/run",)),
    Scenario(
        "seg_killed",
        (
            f"killed {SCENES} --set train.epochs=6 --out $here/run",
            "train_seg.py --resume $here/run",
        ),
        loose=AFTER_A_KILL,
    ),
    Scenario("seg_folds", (f"{SCENES} --folds 3 --out $here/folds",)),
    Scenario("seg_folds_wide", (f"{SCENES} --folds 3 --set model.width=6 --out $here/folds",)),
    Scenario(
        "seg_postprocess",
        (
            "copy $out/seg_folds/folds $here/folds",
            "tfvision postprocess $here/folds --json",
            "tfvision predict $old/seg_scenes/run --postprocess $here/folds/postprocess.yaml"
            " --out $here/predicted --json",
        ),
        needs=("seg_folds", "seg_scenes"),
    ),
    Scenario(
        "seg_ladder",
        ("tfvision ladder $data/ladder_seg.yaml --data $data/scenes --out $here/ladder",),
    ),
    Scenario(
        "seg_search", ("tfvision search $data/search.yaml --data $data/scenes --out $here/search",)
    ),
    Scenario(
        "seg_ensemble",
        (
            "tfvision ensemble $old/seg_scenes/run $old/seg_deep/run --member-weights 2,1"
            " --out $here/two --json",
            "tfvision predict $here/two $data/scenes/images --out $here/predicted",
        ),
        needs=("seg_scenes", "seg_deep"),
    ),
    Scenario(
        "seg_ensemble_folds",
        (
            "tfvision ensemble $old/seg_folds/folds $old/seg_folds_wide/folds --weights fitted"
            " --out $here/fitted",
            "tfvision evaluate $here/fitted --data $data/sizes --json",
        ),
        needs=("seg_folds", "seg_folds_wide"),
    ),
    Scenario(
        "seg_evaluate",
        (
            "copy $out/seg_scenes/run $here/own",
            "tfvision evaluate $here/own --json",
            "copy $old/seg_scenes/run $here/run",
            "tfvision evaluate $here/run --data $data/sizes --tta flip_lr,shift(pixels=2)"
            " --out $here/counts --json",
            "copy $old/seg_mars/run $here/mars",
            "tfvision evaluate $here/mars --labels $data/truth.npz --json",
        ),
        needs=("seg_scenes", "seg_mars"),
    ),
    Scenario(
        "seg_predict",
        (
            "tfvision predict $old/seg_scenes/run --out $here/plain --json",
            "tfvision predict $old/seg_scenes/run $data/sizes/images --tile 16x24 --overlap 8"
            " --out $here/tiles",
            "tfvision predict $old/seg_scenes/run --split val --tta flip_lr+flip_ud"
            " --probabilities --out $here/views",
            "tfvision predict $old/seg_deep/run $data/sizes --split all --probabilities --shards 2"
            " --out $here/shards",
        ),
        needs=("seg_scenes", "seg_deep"),
    ),
    Scenario(
        "seg_submit",
        (
            "tfvision submit $old/seg_mars/run --format mars --out $here/mars.csv",
            "tfvision submit $old/seg_scenes/run $data/sizes/images --format rle --rows class"
            " --id-suffix .png --out $here/rle.csv --json",
            "tfvision submit $old/seg_mars/run --format labels --class-as name"
            " --out $here/labels.csv",
        ),
        needs=("seg_scenes", "seg_mars"),
    ),
    Scenario(
        "seg_export",
        (
            "copy $old/seg_scenes/run $here/run",
            "tfvision export $here/run --json",
            "copy $old/seg_deep/run $here/deep",
            "tfvision evaluate $here/deep --depth 1 --json",
        ),
        needs=("seg_scenes", "seg_deep"),
    ),
    Scenario(
        "seg_compare",
        (
            "tfvision compare $old/seg_scenes/run $old/seg_deep/run --out $here/test --json",
            "tfvision compare $old/seg_deep/run $old/seg_scenes/run --split val --metric plain"
            " --out $here/val",
        ),
        needs=("seg_scenes", "seg_deep"),
    ),
    Scenario(
        "seg_longer",
        (
            "copy $old/seg_deep/run $here/run",
            "train_seg.py --resume $here/run --set train.epochs=3",
        ),
        needs=("seg_deep",),
    ),
]

OF_CLASSIFICATION = [
    Scenario("cls_shapes", (f"{SHAPES} --set train.export=true --json --out $here/run",)),
    Scenario(
        "cls_other",
        (
            f"{SHAPES} --set seed=2 --set data.splits=$out/cls_shapes/run/splits.csv"
            " --set 'metrics=[macro_f1, accuracy]' --set data.fit=pad --out $here/run",
        ),
        needs=("cls_shapes",),
    ),
    Scenario("cls_pieces", (f"train_cls.py {CELLS} --out $here/run",)),
    Scenario(
        "cls_crop",
        (f"train_cls.py {CELLS} --set data.input=crop(margin=0.2) --out $here/run",),
    ),
    Scenario(
        "cls_unseen",
        ("train_cls.py --config $data/cls.yaml --data $data/unseen.npz --out $here/run",),
    ),
    Scenario("cls_dry_run", (f"train_cls.py {CELLS} --dry-run --json --out $here/run",)),
    Scenario(
        "cls_killed",
        (
            f"killed {SHAPES} --set train.epochs=6 --out $here/run",
            "train_cls.py --resume $here/run",
        ),
        loose=AFTER_A_KILL,
    ),
    Scenario("cls_folds", (f"train_cls.py {CELLS} --folds 3 --out $here/folds",)),
    Scenario(
        "cls_postprocess",
        (
            "copy $out/cls_folds/folds $here/folds",
            "tfvision postprocess $here/folds --json",
        ),
        needs=("cls_folds",),
    ),
    Scenario(
        "cls_aggregate",
        (
            "copy $out/cls_folds/folds $here/folds",
            "tfvision aggregate $here/folds --json",
            "tfvision predict $old/cls_pieces/run $data/cells/labels.csv"
            " --aggregate $data/median.yaml --out $here/predicted --json",
        ),
        needs=("cls_folds", "cls_pieces"),
    ),
    Scenario(
        "cls_calibrate",
        (
            "copy $out/cls_folds/folds $here/folds",
            "tfvision calibrate $here/folds --json",
            "copy $old/cls_pieces/run $here/run",
            "tfvision calibrate $here/run",
            "tfvision predict $here/run --calibrated $here/folds/temperature.json"
            " --probabilities --out $here/predicted",
        ),
        needs=("cls_folds", "cls_pieces"),
    ),
    Scenario(
        "cls_pseudo",
        (
            "copy $out/cls_folds/folds $here/folds",
            "tfvision pseudo $here/folds --unlabelled $data/loose --confidence 0.4"
            " --out $here/pseudo",
        ),
        needs=("cls_folds",),
    ),
    Scenario(
        "cls_ladder",
        ("tfvision ladder $data/ladder_cls.yaml --data $data/shapes --out $here/ladder",),
    ),
    Scenario(
        "cls_ensemble",
        (
            "tfvision ensemble $old/cls_shapes/run $old/cls_other/run --out $here/two --json",
            "tfvision ensemble $old/cls_folds/folds --out $here/folds",
            "tfvision predict $here/folds $data/cells/labels.csv --out $here/predicted",
        ),
        needs=("cls_shapes", "cls_other", "cls_folds"),
    ),
    Scenario(
        "cls_evaluate",
        (
            "copy $out/cls_pieces/run $here/own",
            "tfvision evaluate $here/own --json",
            "copy $old/cls_pieces/run $here/run",
            "tfvision evaluate $here/run --data $data/cells/labels.csv --tta flip_lr"
            " --out $here/counts --json",
            "copy $old/cls_unseen/run $here/unseen",
            "tfvision evaluate $here/unseen --labels $data/truth.csv --json",
        ),
        needs=("cls_pieces", "cls_unseen"),
    ),
    Scenario(
        "cls_predict",
        (
            "tfvision predict $old/cls_shapes/run --out $here/plain --json",
            "tfvision predict $old/cls_crop/run --split val --tta flip_lr"
            " --probabilities --out $here/views",
            "tfvision predict $old/cls_shapes/run $data/loose --probabilities --shards 4"
            " --out $here/shards",
        ),
        needs=("cls_shapes", "cls_crop"),
    ),
    Scenario(
        "cls_submit",
        (
            "tfvision submit $old/cls_shapes/run $data/loose --format labels"
            " --columns Id,Category --id-suffix .png --out $here/named.csv --json",
            "tfvision submit $old/cls_unseen/run --format labels --out $here/own.csv",
        ),
        needs=("cls_shapes", "cls_unseen"),
    ),
    Scenario(
        "cls_export",
        ("copy $old/cls_pieces/run $here/run", "tfvision export $here/run --json"),
        needs=("cls_pieces",),
    ),
    Scenario(
        "cls_compare",
        (
            "tfvision compare $old/cls_shapes/run $old/cls_other/run --out $here/test --json",
            "tfvision compare $old/cls_other/run $old/cls_shapes/run --split val"
            " --metric accuracy --out $here/val",
        ),
        needs=("cls_shapes", "cls_other"),
    ),
    Scenario(
        "cls_longer",
        (
            "copy $old/cls_pieces/run $here/run",
            "train_cls.py --resume $here/run --set train.epochs=3",
        ),
        needs=("cls_pieces",),
    ),
]

OF_NEITHER = [
    Scenario(
        "audit",
        (
            "tfvision audit $data/scenes --out $here/scenes --json",
            "tfvision audit $data/cells/labels.csv --task classification --out $here/cells"
            " --clean $here/clean",
            "tfvision remove-background $data/cells/labels.csv --out $here/ground --crop",
        ),
    ),
    Scenario("models", ("tfvision models --json",)),
    Scenario(
        "help",
        (
            *(f"{program} --help" for program in ("train_seg.py", "train_cls.py", "tfvision")),
            *(f"tfvision {command} --help" for command in COMMANDS),
        ),
    ),
    Scenario(
        "errors_at_once",
        (
            "train_seg.py --set train.epoch=3",
            "train_cls.py --set data.imput=crop --set loss=[dice]",
            "train_seg.py --arch small_cnn",
            "train_seg.py --config $data/cls.yaml",
            "train_cls.py --config $data/seg.yaml",
            "train_seg.py --data $data/none",
            "train_seg.py --config $data/none.yaml",
            "train_cls.py --resume $data",
            "train_seg.py --folds 1",
            "tfvision evaluate $data/none",
            "tfvision ladder $data/none.yaml",
            "tfvision search $data/ladder_seg.yaml",
            "tfvision calibrate $data/scenes",
            "tfvision frobnicate",
        ),
        fails=True,
    ),
    Scenario(
        "errors_of_data",
        (
            "train_seg.py --config $data/seg.yaml --data $data/shapes --out $here/a",
            "train_cls.py --config $data/cls.yaml --data $data/scenes --out $here/b",
            "train_cls.py --config $data/pieces.yaml --data $data/shapes --folds 30 --out $here/c",
        ),
        fails=True,
    ),
    Scenario(
        "errors_of_task",
        (
            "copy $old/seg_scenes/run $here/seg",
            "copy $old/cls_shapes/run $here/cls",
            "copy $old/seg_folds/folds $here/seg_folds",
            "copy $old/cls_folds/folds $here/cls_folds",
            "train_cls.py --resume $here/seg",
            "train_seg.py --resume $here/cls_folds",
            "train_seg.py --resume $here/seg --set model.width=5",
            "tfvision predict $here/cls --tile 16 --out $here/a",
            "tfvision predict $here/cls --depth 1 --out $here/b",
            "tfvision evaluate $here/seg --depth 1",
            "tfvision evaluate $here/cls --data $data/scenes",
            "tfvision submit $here/cls --format rle --out $here/c.csv",
            "tfvision aggregate $here/seg_folds",
            "tfvision calibrate $here/seg_folds",
            "tfvision pseudo $here/seg_folds --unlabelled $data/loose",
            "tfvision ensemble $here/seg $here/cls --out $here/d",
            "tfvision compare $here/seg $here/cls --out $here/e",
            "tfvision search $data/search.yaml --data $data/shapes --out $here/f",
        ),
        needs=("seg_scenes", "cls_shapes", "cls_folds", "seg_folds"),
        fails=True,
    ),
]

SCENARIOS = [*OF_SEGMENTATION, *OF_CLASSIFICATION, *OF_NEITHER]
