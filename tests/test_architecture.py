"""The rules that keep the parts apart, and that make registering the same as being tested.

Imports go down only. `scripts -> cli -> tasks -> {engine, report} -> {models, losses,
metrics, augment, data, postprocess} -> {registry, errors}`; those six know nothing of each
other, so that each can be read, used and replaced alone.
"""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tfvision.augment import MIXERS, OPS
from tfvision.config import check_names, load_config
from tfvision.data import INPUTS, SOURCES
from tfvision.engine import OPTIMIZERS, SCHEDULES, VIEWS
from tfvision.losses import LOSSES
from tfvision.metrics import METRICS
from tfvision.models import CLASSIFIERS, MODELS
from tfvision.postprocess import POSTPROCESS
from tfvision.tasks.facts import facts_of, task_names

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tfvision"
# Besides these six, `stats` knows no metric and nothing else: metrics and postprocess build on it.
PARTS = {"models", "losses", "metrics", "augment", "data", "postprocess"}
BASE = {"errors", "registry"}
MAY_IMPORT = {
    "errors": set(),
    "registry": {"errors"},
    "config": {"config", *BASE},
    "stats": {"stats", *BASE},
    **{part: {part, *BASE} for part in PARTS},
    "metrics": {"metrics", "stats", *BASE},
    "postprocess": {"postprocess", "stats", *BASE},
    "engine": {"engine", "config.differences", *PARTS, *BASE},
    "report": {"report", "engine.files", *PARTS, *BASE},
    "tasks": {"tasks", "report", "engine", "config", "__version__", *PARTS, *BASE},
    "cli": {"tasks", "engine", "config", *PARTS, *BASE},
    "commands": {"commands_several", "cli", "tasks", "engine", "config", *PARTS, *BASE},
    "commands_several": {"cli", "tasks", "engine", "config", *PARTS, *BASE},
    "__main__": {"commands"},
    "__init__": set(),  # its table of contents is imported when it is used
    "script": {"cli"},
}
TABLES = {
    "models": [MODELS, CLASSIFIERS],
    "losses": [LOSSES],
    "metrics": [METRICS],
    "augment": [OPS, MIXERS],
    "data": [SOURCES, INPUTS],
    "postprocess": [POSTPROCESS],
    "engine": [OPTIMIZERS, SCHEDULES, VIEWS],
}
ENTRIES = [
    pytest.param(folder, table, name, id=f"{table.kind}-{name}")
    for folder, of_folder in TABLES.items()
    for table in of_folder
    for name in table
]
HEAVY = {
    "tensorflow",
    "keras",
    "numpy",
    "PIL",
    "cv2",
    "sklearn",
    "scipy",
    "albumentations",
    "jinja2",
    "matplotlib",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def scripts() -> list[Path]:
    return sorted(ROOT.glob("*.py"))


def layer_of(path: Path) -> str:
    """`tfvision/models/unet.py` -> `models`, `train_seg.py` -> `script`."""
    if PACKAGE not in path.parents:
        return "script"
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(tree: ast.AST) -> set[str]:
    """Dotted names a module imports, wherever in it: `tfvision.models.unet.UNet`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            names |= {f"{start}.{alias.name}" for alias in node.names}
    return names


def wrong_imports(tree: ast.AST, layer: str) -> list[str]:
    """What a module of `layer` imports from tfvision and may not."""
    wrong = [name for name in imported(tree) if name.startswith(".")]
    for name in imported(tree):
        top, _, rest = name.partition(".")
        allowed = any(f"{rest}.".startswith(f"{good}.") for good in MAY_IMPORT[layer])
        if top == "tfvision" and not allowed:
            wrong.append(name)
    return sorted(wrong)


def dotted(node: ast.AST) -> str:
    """`keras.layers.Lambda` of an attribute access, "" of anything else."""
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


FORBIDDEN = {
    r"(.*\.)?keras\.src(\..*)?": "keras.src is not public",
    r"(tf|tensorflow)\.keras(\..*)?": "tf.keras may be another Keras; import keras",
    r"(.*\.)?layers\.Lambda": "a Lambda layer is code in a model file; Keras refuses to load it",
    r"(.*\.)?enable_unsafe_deserialization": "a model file must not run code",
    r"(pickle|dill|cloudpickle|joblib)(\..*)?": "a pickle runs code when it is read",
    r"keras_cv(\..*)?": "keras_cv is not used",
    r"yaml\.(unsafe_load|full_load|Loader|UnsafeLoader|FullLoader)": "YAML is read safely",
}


def forbidden(tree: ast.AST) -> list[str]:
    """What stands in a module and may stand in none, with the reason."""
    names = imported(tree) | {dotted(node) for node in ast.walk(tree)}
    found = [
        f"{name}: {why}"
        for name in sorted(names)
        for pattern, why in FORBIDDEN.items()
        if re.fullmatch(pattern, name)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            setting = (node.arg, node.value.value)
            if setting in (("safe_mode", False), ("allow_pickle", True)):
                found.append(f"{node.arg}={node.value.value}: a file must not run code")
    return found


def parse(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*modules(), *scripts()], ids=short)
def test_imports_go_down_only(path):
    assert not wrong_imports(parse(path), layer_of(path))


@pytest.mark.parametrize(
    ("layer", "code", "wrong"),
    [
        ("models", "from tfvision.engine.loop import Loop", ["tfvision.engine.loop.Loop"]),
        ("models", "def f():\n    import tfvision.runs.load", ["tfvision.runs.load"]),
        ("models", "from tfvision import config", ["tfvision.config"]),
        ("models", "from tfvision.losses import Dice", ["tfvision.losses.Dice"]),
        ("models", "from . import blocks", ["..blocks"]),
        ("models", "from tfvision.models.blocks import conv_block", []),
        ("models", "from tfvision_extras import x", []),
        ("engine", "from tfvision.config import differences", []),
        (
            "engine",
            "from tfvision.config import RunConfig",
            ["tfvision.config.RunConfig"],
        ),
        (
            "engine",
            "from tfvision.report.segmentation_page import render",
            ["tfvision.report.segmentation_page.render"],
        ),
        ("report", "from tfvision.engine.files import write_bytes", []),
        ("report", "from tfvision.engine.loop import Loop", ["tfvision.engine.loop.Loop"]),
        (
            "script",
            "from tfvision.tasks import segmentation",
            ["tfvision.tasks.segmentation.training"],
        ),
    ],
)
def test_a_wrong_import_is_found(layer, code, wrong):
    assert wrong_imports(ast.parse(code), layer) == wrong


def all_code() -> list[Path]:
    folders = [PACKAGE, *(ROOT / name for name in ("tests", "benchmarks", "experiments"))]
    return [*scripts(), *(path for folder in folders for path in sorted(folder.rglob("*.py")))]


def test_nothing_private_unsafe_or_unused_is_called():
    found = {short(path): forbidden(parse(path)) for path in all_code()}
    assert not {path: what for path, what in found.items() if what}


@pytest.mark.parametrize(
    "code",
    [
        "from keras.src.layers import Layer",
        "import keras.src",
        "x = keras.src.backend",
        "x = tf.keras.layers.Dense(3)",
        "from tensorflow.keras import layers",
        "x = layers.Lambda(f)",
        "from keras.layers import Lambda",
        "keras.models.load_model(p, safe_mode=False)",
        "np.load(p, allow_pickle=True)",
        "import pickle",
        "from keras_cv.layers import RandAugment",
        "yaml.load(text, Loader=yaml.Loader)",
    ],
)
def test_what_is_forbidden_is_found(code):
    assert forbidden(ast.parse(code))


def test_what_is_allowed_is_not_found():
    code = (
        "# keras.src\nimport keras\nx = np.load(p, allow_pickle=False)\ny = keras.layers.Dense(3)"
    )
    assert not forbidden(ast.parse(code))


def test_albumentations_is_imported_in_one_file_only():
    importers = {
        short(path)
        for path in modules()
        if any(name.split(".")[0] == "albumentations" for name in imported(parse(path)))
    }
    assert importers == {"tfvision/augment/albumentations_op.py"}


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_reading_tables_and_asking_for_help_imports_nothing_heavy():
    packages = [
        ".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")
    ]
    assert len(packages) > 8
    light = [
        "tfvision.cli.training",
        "tfvision.cli.commands",
        "tfvision.config",
        "train_seg",
        "train_cls",
    ]
    code = f"""
import importlib, sys
for name in {[*packages, *light]}:
    importlib.import_module(name)
from tfvision import cli
from tfvision.cli import commands
from tfvision.tasks.facts import facts_of, task_names
for task in task_names():
    facts_of(task).all_tables()
for action in (lambda: cli.train("segmentation", ["--help"]), lambda: commands.main(["--help"])):
    try:
        action()
    except SystemExit as end:
        assert end.code == 0
assert cli.train("segmentation", ["--set", "train.epoch=3"]) == 2
assert cli.train("segmentation", ["--set", "loss=[dise]"]) == 2
assert cli.train("segmentation", ["--resume", "none"]) == 2
print("modules:", *{{name.partition(".")[0] for name in sys.modules}})
"""
    loaded = set(run_python(code).splitlines()[-1].split())
    assert {"tfvision", "yaml", "pydantic"} <= loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(("folder", "table", "name"), ENTRIES)
def test_a_table_entry_is_a_documented_builder(folder, table, name):
    builder = table[name]
    assert callable(builder)
    assert (builder.__doc__ or "").strip()
    where = table._paths[name]
    assert where.startswith((f"tfvision.{folder}.", "keras."))


@pytest.mark.parametrize(("folder", "table", "name"), ENTRIES)
def test_registering_is_being_tested(folder, table, name):
    words = {name, table._paths[name].partition(":")[2]}
    text = "\n".join(path.read_text() for path in (ROOT / "tests" / folder).glob("test_*.py"))
    assert any(re.search(rf"\b{word}\b", text) for word in words)


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_package_offers_its_builders_by_name(name):
    package = importlib.import_module(f"tfvision.{name}")
    assert dir(package) == sorted(package.__all__)
    for _ in range(2):  # a module must not take the name once it is imported
        assert all(callable(getattr(package, offered)) for offered in package.__all__)
    with pytest.raises(AttributeError, match=rf"module 'tfvision\.{name}' has no attribute 'nil'"):
        package.nil  # noqa: B018


def test_the_package_offers_its_parts():
    import tfvision

    assert set(tfvision.__all__) == PARTS <= set(dir(tfvision))
    assert tfvision.models is importlib.import_module("tfvision.models")
    with pytest.raises(AttributeError, match="module 'tfvision' has no attribute 'nil'"):
        tfvision.nil  # noqa: B018


CONFIGS = [
    pytest.param(task, path, id=f"{task}-{path.stem}")
    for task in task_names()
    for path in sorted((ROOT / "configs" / facts_of(task).folder).glob("*.yaml"))
]


@pytest.mark.parametrize(("task", "path"), CONFIGS)
def test_a_config_validates_and_its_names_and_arguments_fit(task, path):
    from tfvision.runs.set_up import check_arguments

    config = load_config(facts_of(task).schema(), path)
    check_names(config, facts_of(task).all_tables())
    check_arguments(config)
    # A second config of a model says after its name what is its own: unet_lite0.
    assert path.stem == config.model.name or path.stem.startswith(f"{config.model.name}_")


def test_every_model_has_a_config_and_every_task_its_default():
    for folder, table in (("seg", MODELS), ("cls", CLASSIFIERS)):
        named = {path.stem for path in (ROOT / "configs" / folder).glob("*.yaml")}
        assert set(table) <= named
    for facts in map(facts_of, task_names()):
        assert (ROOT / "configs" / facts.folder / f"{facts.arch}.yaml").is_file()


def test_every_name_in_a_config_has_a_table():
    """A new section of specs must be looked up, or a typo in it is found only late."""
    for facts in map(facts_of, task_names()):
        assert set(facts.all_tables()) == set(spec_paths(facts.schema()))


def spec_paths(schema, prefix: str = "") -> list[str]:
    from typing import get_args

    from pydantic import BaseModel

    from tfvision.registry import Spec

    paths = []
    for key, field in schema.model_fields.items():
        kinds = {k for k in (field.annotation, *get_args(field.annotation)) if isinstance(k, type)}
        if any(issubclass(kind, Spec) for kind in kinds):
            paths.append(prefix + key)
        for kind in kinds:
            if issubclass(kind, BaseModel) and not issubclass(kind, Spec):
                paths += spec_paths(kind, f"{prefix}{key}.")
    return paths


@pytest.mark.parametrize(
    "path",
    sorted([*ROOT.glob("experiments/*.py"), *ROOT.glob("benchmarks/*.py")]),
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_what_experiments_and_benchmarks_import_is_there(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tfvision"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
