"""A name becomes a builder, and a wrong name or argument becomes a helpful sentence."""

import subprocess
import sys

import pytest

from tfvision.errors import InputError
from tfvision.registry import Registry, Spec, brief, lazy_names, parse_call, plain, unknown


def cutout(*, size, p: float = 0.5, **options):
    """An op of no use."""
    if size < 0:
        raise ValueError("size must not be negative")
    return size, p, options


def resize(image, *sizes, factor=1):
    """Takes an image that only the program has."""
    return image, sizes, factor


def refuse():
    raise InputError("a sentence of its own")


TABLE = Registry("op", {name: f"{__name__}:{name}" for name in ("cutout", "resize", "refuse")})


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("flip_lr", {"name": "flip_lr"}),
        ("  flip_lr()\n", {"name": "flip_lr"}),
        ("cutout(size=16)", {"name": "cutout", "size": 16}),
        (
            "f(a=-1.5, b='x', c=None, d=True)",
            {"name": "f", "a": -1.5, "b": "x", "c": None, "d": True},
        ),
        ("f(a=(1, (2, 3)))", {"name": "f", "a": [1, [2, 3]]}),
        ("f(a={0: 0, 255: 1})", {"name": "f", "a": {0: 0, 255: 1}}),
    ],
)
def test_a_call_is_read(text, parsed):
    assert parse_call(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cutout(16)",
        "cutout(size=",
        "cutout(size=16) + 1",
        "cutout(size=other)",
        "cutout(size=16, size=17)",
        "cutout(**{'size': 16})",
        "cutout(name='flip_lr')",
        "a.b(size=16)",
        "f(a=__import__('os'))",
        "f(a=1j)",
        "f(a=b'x')",
        "f(a={1, 2})",
        "f(a={[]: 1})",
        "f(a=...)",
        "f(a=" + "[" * 300 + "]" * 300 + ")",
        "-" * 20_000 + "1",
    ],
)
def test_what_is_no_call_is_refused(text):
    with pytest.raises(
        InputError, match=r"Cannot read .*Write a name, `flip_lr`, or a call"
    ) as said:
        parse_call(text)
    assert len(str(said.value)) < 400


def test_spec_of_text_and_of_mapping_are_equal():
    spec = Spec.model_validate("focal(gamma=2.0)")
    assert (
        spec
        == Spec.model_validate({"name": "focal", "gamma": 2.0})
        == Spec(name="focal", gamma=2.0)
    )
    assert spec.kwargs == {"gamma": 2.0}
    assert Spec(name="dice").kwargs == {}


def test_a_spec_is_saved_as_it_is_written():
    assert Spec(name="dice").model_dump() == "dice"
    assert Spec(name="focal", gamma=2.0).model_dump() == {"name": "focal", "gamma": 2.0}


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Spec(name="dice").name = "focal"


def test_plain_is_what_yaml_holds(tmp_path):
    assert plain({"a": (1, [2.5, (None,)]), 3: tmp_path}) == {
        "a": [1, [2.5, [None]]],
        3: str(tmp_path),
    }
    with pytest.raises(ValueError, match="YAML holds no complex"):
        plain([1j])


def test_a_table_is_read_like_a_list_of_names():
    assert list(TABLE) == ["cutout", "resize", "refuse"]
    assert len(TABLE) == 3
    assert "cutout" in TABLE
    assert "cutou" not in TABLE
    assert TABLE["cutout"] is cutout


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(
        InputError,
        match=r"Unknown op: 'cutuot'\. Did you mean 'cutout'\? Available: cutout, resize, refuse\.",
    ):
        TABLE["cutuot"]


def test_far_from_any_name_no_guess_is_made():
    assert unknown("op", "zzz", ["cutout"]) == "Unknown op: 'zzz'. Available: cutout."
    assert unknown("op", "zzz", []) == "Unknown op: 'zzz'. Available: none."


def test_a_long_name_does_not_fill_the_screen():
    assert len(unknown("op", "z" * 10_000, ["cutout"])) < 300
    assert brief([1, 2]) == "[1, 2]"
    assert brief("a" * 300, length=5) == "'aaaa ..."


def test_build_calls_the_builder_with_config_and_context():
    assert TABLE.build(Spec(name="cutout", size=3)) == (3, 0.5, {})
    assert TABLE.build(Spec(name="resize", factor=2), image="I") == ("I", (), 2)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            Spec(name="cutout", size=3, sise=4),
            r"Unknown argument of op `cutout`: 'sise'\. Did you mean 'size'\? Available: size, p\.",
        ),
        (Spec(name="cutout"), r"op `cutout` needs size\. Write cutout\(size=\.\.\.\)\."),
        (Spec(name="cutout", size=1, options=2), "Unknown argument of op `cutout`: 'options'"),
        (Spec(name="cutou"), "Unknown op: 'cutou'. Did you mean 'cutout'"),
        (Spec(name="cutout", size=-1), "^op `cutout`: size must not be negative$"),
        (Spec(name="cutout", size="x"), "^op `cutout`: '<' not supported"),
        (Spec(name="refuse"), "^a sentence of its own$"),
    ],
)
def test_wrong_specs_are_the_users_input(spec, message):
    with pytest.raises(InputError, match=message):
        TABLE.build(spec)


def test_what_the_program_gives_may_not_be_set():
    with pytest.raises(InputError, match="Unknown argument of op `resize`: 'image'"):
        TABLE.check_arguments(Spec(name="resize", image="mine"), {"image"})
    with pytest.raises(InputError, match="Unknown argument of op `resize`: 'sizes'"):
        TABLE.check_arguments(Spec(name="resize", sizes=1), {"image"})
    with pytest.raises(InputError, match="op `resize` needs image"):
        TABLE.check_arguments(Spec(name="resize"))


def test_reading_a_table_imports_no_builder():
    code = (
        "import sys; from tfvision.registry import Registry\n"
        "table = Registry('x', {'a': 'wave:open'})\n"
        "assert list(table) == ['a'] and 'a' in table and 'wave' not in sys.modules\n"
        "table['a']\n"
        "assert 'wave' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_builder_called_as_its_module_is_left_to_the_module():
    table = Registry(
        "source",
        {"npz": "tfvision.data.sources.npz:npz", "auto": "tfvision.data.sources.recognise:x"},
    )
    get, _, exported = lazy_names("tfvision.data.sources", table)
    assert exported == ["x"]
    with pytest.raises(AttributeError):
        get("npz")


def test_lazy_names_of_a_package():
    get, names, exported = lazy_names("tfvision.ops", TABLE, {"dumps": "json:dumps"})
    assert names() == exported == ["cutout", "dumps", "refuse", "resize"]
    assert get("cutout") is cutout
    assert get("dumps")([1]) == "[1]"
    with pytest.raises(AttributeError, match=r"module 'tfvision.ops' has no attribute 'cutou'"):
        get("cutou")
