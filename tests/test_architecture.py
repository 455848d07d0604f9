"""The rules that keep the rooms apart, and that make registering the same as being tested.

Imports go down only, floor by floor; the parts on one floor know nothing of each other, so that
each can be read, used and replaced alone. No circle, no module that asks which task it is, no
file or function that is too long to be read at once.
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
from tfvision.losses import DETECTION_LOSSES, LOSSES
from tfvision.metrics import DETECTION_METRICS, METRICS
from tfvision.models import BACKBONES, CLASSIFIERS, DETECTORS, MODELS
from tfvision.postprocess import BOX_RULES, POSTPROCESS
from tfvision.tasks.facts import facts_of, task_names

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tfvision"
FLOORS = [  # from the ground up; a module belongs to the longest name that it begins with
    ["errors"],
    ["registry", "text", "memory", "__version__"],
    ["tasks.facts"],
    ["tasks.segmentation.facts", "tasks.classification.facts", "tasks.detection.facts"],
    ["config"],
    ["tasks.segmentation.schema", "tasks.classification.schema", "tasks.detection.schema"],
    ["stats", "detection"],  # know no metric and no model: the rooms above build on them
    ["models", "losses", "metrics", "augment", "data", "postprocess"],
    ["engine", "report"],
    ["recipe"],
    ["tasks"],
    ["runs"],
    ["studies", "curation", "system"],
    ["cli"],
    ["__main__", "script"],
]
BESIDE = {("report", "engine.files")}  # pages are written whole or not at all
PARTS = {"models", "losses", "metrics", "augment", "data", "postprocess"}
LONG_FILES = {  # name: why it is longer than `MOST_LINES`
}
MOST_LINES, MOST_OF_A_FUNCTION = 350, 70  # a function is counted without its docstring
TABLES = {
    "models": [MODELS, CLASSIFIERS, BACKBONES, DETECTORS],
    "losses": [LOSSES, DETECTION_LOSSES],
    "metrics": [METRICS, DETECTION_METRICS],
    "augment": [OPS, MIXERS],
    "data": [SOURCES, INPUTS],
    "postprocess": [POSTPROCESS, BOX_RULES],
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
    "keras_cv",
    "jinja2",
    "matplotlib",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def scripts() -> list[Path]:
    return sorted(ROOT.glob("*.py"))


def name_of(path: Path) -> str:
    """`tfvision/models/unet.py` -> `models.unet`, `train_seg.py` -> `script`."""
    if PACKAGE not in path.parents:
        return "script"
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def room_of(module: str) -> tuple[int, str]:
    """Floor and room of a module, such as `models.unet`."""
    rooms = [
        (floor, room)
        for floor, on_floor in enumerate(FLOORS)
        for room in on_floor
        if f"{module}.".startswith(f"{room}.")
    ]
    return max(rooms, key=lambda found: len(found[1]))


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


def wrong_imports(tree: ast.AST, module: str) -> list[str]:
    """What a module imports from tfvision and may not."""
    floor, room = room_of(module)
    wrong = [name for name in imported(tree) if name.startswith(".")]
    for name in imported(tree):
        top, _, rest = name.partition(".")
        if top != "tfvision":
            continue
        below, other = room_of(rest)
        beside = any(room == a and f"{rest}.".startswith(f"{b}.") for a, b in BESIDE)
        if below >= floor and other != room and not beside:
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
    if name_of(path) != "__init__":  # its table of contents is imported when it is used
        assert not wrong_imports(parse(path), name_of(path))


@pytest.mark.parametrize(
    ("module", "code", "wrong"),
    [
        ("models.x", "from tfvision.engine.loop import Loop", ["tfvision.engine.loop.Loop"]),
        ("models.x", "def f():\n    import tfvision.runs.load", ["tfvision.runs.load"]),
        ("models.x", "from tfvision.losses import Dice", ["tfvision.losses.Dice"]),
        ("models.x", "from . import blocks", ["..blocks"]),
        ("models.x", "from tfvision.models.blocks import conv_block", []),
        ("models.x", "from tfvision_extras import x", []),
        ("engine.x", "from tfvision.config import differences", []),
        ("engine.x", "from tfvision.report.html import x", ["tfvision.report.html.x"]),
        ("report.x", "from tfvision.engine.files import write_bytes", []),
        ("report.x", "from tfvision.engine.loop import Loop", ["tfvision.engine.loop.Loop"]),
        ("recipe.x", "from tfvision.tasks.facts import facts_of", []),
        ("recipe.x", "from tfvision.tasks.task import Task", ["tfvision.tasks.task.Task"]),
        ("tasks.task", "from tfvision.runs.train import train", ["tfvision.runs.train.train"]),
        ("runs.x", "from tfvision.studies.folds import x", ["tfvision.studies.folds.x"]),
        ("curation.x", "from tfvision.studies.folds import x", ["tfvision.studies.folds.x"]),
    ],
)
def test_a_wrong_import_is_found(module, code, wrong):
    assert wrong_imports(ast.parse(code), module) == wrong


def module_graph() -> dict[str, set[str]]:
    """Module -> the modules that it imports, wherever in it."""
    names = {f"tfvision.{name_of(path)}": path for path in modules()}
    graph = {}
    for name, path in names.items():
        found = imported(parse(path))
        parents = {one.rpartition(".")[0] for one in found}
        graph[name] = {one for one in found | parents if one in names} - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Ways from a module back to itself, one for each that is found first."""
    found, done = [], set()

    def walk(name: str, way: list[str]) -> None:
        if name in way:
            found.append([*way[way.index(name) :], name])
        elif name not in done:
            for other in sorted(graph[name]):
                walk(other, [*way, name])
            done.add(name)

    for name in sorted(graph):
        walk(name, [])
    return found


def test_there_is_no_circle_between_modules():
    assert circles(module_graph()) == []


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c", "a"]]


def questions(text: str) -> list[str]:
    """What in a module asks which task it has before it."""
    names = "|".join(task_names())
    patterns = [
        rf"[\"']({names})[\"']",
        r"is_(classification|segmentation)",
        r"[\"']per_class_(f1|iou)[\"']\s+in\b",
        r"probabilities is (not )?None",
        r"(has|get)attr\([^)]*[\"'](fitted|task|cut)[\"']",
        r"isinstance\([^)]*(Classification|Segmentation|ClassData|ClassRecipe)",
    ]
    code = ast.unparse(without_docstrings(ast.parse(text)))
    return [match[0] for pattern in patterns for match in re.finditer(pattern, code)]


def without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and documents(body[0]):
            node.body = body[1:] or [ast.Pass()]
    return tree


def documents(statement: ast.AST) -> bool:
    """Whether a statement is a text alone, as a docstring is."""
    value = getattr(statement, "value", None)
    return isinstance(statement, ast.Expr) and isinstance(value, ast.Constant)


@pytest.mark.parametrize("path", modules(), ids=short)
def test_no_code_outside_its_folder_asks_which_task_it_is(path):
    if not name_of(path).startswith("tasks"):
        assert questions(path.read_text(encoding="utf-8")) == WORDS.get(short(path), [])


# The words of a user's folder names, and what a writer leaves out where it is not given.
WORDS = {
    "tfvision/data/sources/exports/coco_file.py": ["'segmentation'"],
    "tfvision/data/sources/folders/folder_names.py": ["'segmentation'"],
    "tfvision/data/sources/folders/paired_names.py": ["'segmentation'"],
    "tfvision/engine/predictions.py": ["probabilities is not None"] * 2,
    "tfvision/metrics/classification.py": ["probabilities is not None"],
    "tfvision/report/classification_scores.py": ["probabilities is None"],
}


@pytest.mark.parametrize(
    "code",
    [
        "if config.task == 'segmentation': pass",
        "if recipe.is_classification: pass",
        "x = 1 if 'per_class_f1' in row else 2",
        "if scored.probabilities is None: pass",
        "f = getattr(predictor, 'fitted', None)",
        "if isinstance(config, ClassDataConfig): pass",
    ],
)
def test_a_question_for_the_task_is_found(code):
    assert questions(code)


def length(function: ast.AST) -> int:
    """Lines of a function without its docstring."""
    first = function.body[0]
    lines = function.end_lineno - function.lineno + 1
    return lines - (first.end_lineno - first.lineno + 1 if documents(first) else 0)


def test_files_and_functions_can_be_read_at_once():
    files, functions = [], []
    for path in modules():
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > MOST_LINES and short(path) not in LONG_FILES:
            files.append(short(path))
        functions += [
            f"{short(path)}: {node.name}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef) and length(node) > MOST_OF_A_FUNCTION
        ]
    assert (files, functions) == ([], [])
    assert len(LONG_FILES) <= 5


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


@pytest.mark.parametrize(
    ("package", "file"),
    [
        ("albumentations", "tfvision/augment/albumentations_op.py"),
        ("keras_cv", "tfvision/detection/keras_cv_parts.py"),
    ],
)
def test_a_package_that_may_go_is_imported_in_one_file_only(package, file):
    importers = {
        short(path)
        for path in modules()
        if any(name.split(".")[0] == package for name in imported(parse(path)))
    }
    assert importers == {file}


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
    text = "\n".join(path.read_text() for path in (ROOT / "tests" / folder).rglob("test_*.py"))
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
    for folder, table in (("seg", MODELS), ("cls", CLASSIFIERS), ("det", DETECTORS)):
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
