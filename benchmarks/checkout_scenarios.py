"""What compare_checkouts.py runs: named lists of commands.

A command is written as in a shell. `$data` is the folder of checkout_data.py, `$here` the
scenario's own folder, `$out` the folder of all scenarios of this checkout, `$old` that of OLD:
commands on `$old` show that NEW reads what OLD wrote. Beside programs there are `copy FROM TO`
and `killed COMMAND`, which ends by SIGKILL when a checkpoint behind step 0 is there.
"""

from dataclasses import dataclass


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
            "copy $old/seg_scenes/run $here/plain",
            "copy $old/seg_deep/run $here/deep",
            "tfvision ensemble $here/plain $here/deep --member-weights 2,1 --out $here/two --json",
            "tfvision predict $here/two $data/scenes/images --out $here/predicted",
        ),
        needs=("seg_scenes", "seg_deep"),
    ),
    Scenario(
        "seg_ensemble_folds",
        (
            "copy $old/seg_folds/folds $here/narrow",
            "copy $old/seg_folds_wide/folds $here/wide",
            "tfvision ensemble $here/narrow $here/wide --weights fitted --out $here/fitted",
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
            "copy $old/cls_shapes/run $here/plain",
            "copy $old/cls_other/run $here/other",
            "tfvision ensemble $here/plain $here/other --out $here/two --json",
            "copy $old/cls_folds/folds $here/folds",
            "tfvision ensemble $here/folds --out $here/mean",
            "tfvision predict $here/mean $data/cells/labels.csv --out $here/predicted",
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
