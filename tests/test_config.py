"""A config is read as it is written; what is wrong is said with its line, all at once."""

from pathlib import Path

import pytest
import yaml

from tfvision.config import (
    MAX_BYTES,
    apply_override,
    check_names,
    differences,
    dump_config,
    load_config,
)
from tfvision.errors import InputError
from tfvision.registry import Registry, Spec
from tfvision.tasks.segmentation.schema import SegmentationConfig

MINIMAL = "model: unet\n"


@pytest.fixture
def read(tmp_path):
    """`read(text, *overrides)` -> the config of a file with that text."""

    def read(text: str | bytes, *overrides: str) -> SegmentationConfig:
        path = tmp_path / "c.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_config(SegmentationConfig, path, overrides)

    return read


def refused(read, text, message, *overrides):
    with pytest.raises(InputError, match=message) as said:
        read(text, *overrides)
    assert len(str(said.value)) < 1500
    return str(said.value)


# Precedence and --set


def test_schema_then_file_then_set(read):
    text = "model: unet\ntrain: {epochs: 7, ema: 0.9}\n"
    default, given = read(MINIMAL), read(text, "train.epochs=9")
    assert (default.train.epochs, default.train.ema, default.train.accumulate) == (40, None, 1)
    assert (given.train.epochs, given.train.ema, given.train.accumulate) == (9, 0.9, 1)


def test_of_two_overrides_the_last_holds(read):
    assert read(MINIMAL, "seed=1", "seed=2").seed == 2


def test_values_of_set_are_yaml(read):
    config = read(
        "model: {name: unet, width: 8}\nloss: [dice]\ntrain: {ema: 0.5}\n",
        "data.image_size=[64, 128]",
        "data.class_names=[no, 'on']",
        "train.ema=null",
        "train.optimizer.learning_rate=3e-4",
        "train.optimizer.name=sgd",
        "model.depth=2",
        "loss=['focal(gamma=1.5, weight=0.5)', {name: dice}]",
        "data.source='folder(mask_values={0: 0, 255: 1})'",
        "metrics=[mean_dice]",
        "train.deterministic=false",
    )
    assert config.data.image_size == (64, 128)
    assert config.data.class_names == ("no", "on")
    assert config.train.ema is None
    assert config.train.optimizer == Spec(name="sgd", learning_rate=3e-4)
    assert (config.model.name, config.model.kwargs) == ("unet", {"width": 8, "depth": 2})
    assert [term.name for term in config.loss] == ["focal", "dice"]
    assert [term.weight for term in config.loss] == [0.5, 1.0]
    assert config.loss[0].kwargs == {"gamma": 1.5}
    assert config.data.source.kwargs == {"mask_values": {0: 0, 255: 1}}
    assert config.metrics[0].name == "mean_dice"
    assert config.train.deterministic is False


def test_an_override_reaches_into_a_call(read):
    config = read("model: unet(width=8)\n", "model.depth=2")
    assert config.model.kwargs == {"width": 8, "depth": 2}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("oops", r"Overrides are written key\.path=value\. Received: 'oops'"),
        ("=3", r"Overrides are written key\.path=value"),
        (
            "data.augment.p=1",
            r"`augment` in 'data\.augment\.p=1' has no named parts\. Set it whole",
        ),
        ("train.epochs.x=1", r"`epochs` in .* has no named parts"),
        ("model.width.x=1", r"`width` in .* has no named parts"),
        ("train.epochs=[1", r"--set train\.epochs=\[1 is not valid YAML"),
        ("train.epoch=3", r"Unknown key \(--set\): 'train\.epoch'\. Did you mean 'train\.epochs'"),
        (
            "train.epochs=0",
            r"train\.epochs \(--set\): Input should be greater than 0\. Received: 0",
        ),
        (
            "loss=[focal(gamma=1, weight=2)]",
            r"'focal\(gamma=1'\. .* Inside \[ \] a call .* in quotes",
        ),
        ("model=unet(", r"model \(--set\): Cannot read 'unet\('"),
    ],
)
def test_bad_overrides(read, override, message):
    text = "model: {name: unet, width: 8}\ntrain: {epochs: 3}\ndata: {augment: [flip_lr]}\n"
    refused(read, text, message, override)


def test_overrides_change_the_mapping_only_where_they_say():
    raw = {"a": {"b": 1, "c": 2}}
    apply_override(raw, "a.b = 3")
    apply_override(raw, "d.e=x=y")
    for pattern in ("*.jpg", "*_seg.png", "*"):  # in YAML these would be aliases
        apply_override(raw, f"f.g={pattern}")
        assert raw["f"].pop("g") == pattern
    del raw["f"]
    assert raw == {"a": {"b": 3, "c": 2}, "d": {"e": "x=y"}}


# What YAML makes of values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        ("-2.5e-2", -0.025),
        (".5", 0.5),
        ("12", 12),
        ("-12", -12),
        ("0", 0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("007", "007"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("'1e-3'", "1e-3"),
        ("e3", "e3"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_values_are_read_as_yaml_1_2_reads_them(read, text, value):
    got = read(f"model: {{name: unet, x: {text}}}\n").model.kwargs["x"]
    assert got == value
    assert type(got) is type(value)


def test_class_names_are_text(read):
    config = read("model: unet\ndata: {class_names: [no, 007, 12:30]}\n")
    assert config.data.class_names == ("no", "007", "12:30")
    refused(
        read, "model: unet\ndata: {class_names: [1, a]}\n", r"data\.class_names\.0 .*valid string"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train: {epochs: true}", r"train\.epochs \(line 2, .*\): write a value, not true"),
        ("data: {val_fraction: false}", "write a value, not false"),
        ("data: {channels: true}", "write a value, not true"),
        ("train: {epochs: 12:30}", r"valid integer.*Received: '12:30'"),
        ("train: {epochs: 2.5}", "valid integer"),
        ("train: {xla: maybe}", "valid boolean"),
        ("train: {ema: .nan}", r"train\.ema .*"),
        ("train: {time_budget: .inf}", "finite number"),
        ("loss: [dice(weight=1e999)]", r"loss\.0\.weight.*finite number"),
        ("data: {image_size: [0, 64]}", r"data\.image_size\.0 \(line 2, .*\): .*greater than 0"),
        ("data: {image_size: 64}", r"data\.image_size"),
        ("data: {channels: 2}", r"data\.channels"),
        ("data: {val_fraction: 1}", "less than 1"),
        ("seed: -1", "greater than or equal to 0"),
        ("loss: []", "at least one entry"),
        ("loss: ['dice(weight_end=-1)']", r"loss\.0\.weight_end .*greater than or equal to 0"),
        ("loss: [dice(weight=0)]", r"loss\.0\.weight \(line 2, .*\): .*greater than 0"),
        ("loss: dice", r"loss \(line 2, .*\): Input should be a valid tuple\. Received: 'dice'"),
        ("train: fast", r"train \(line 2, .*\)"),
        ("data: {augment: [3]}", r"data\.augment\.0 \(line 2, .*\)"),
        (
            "data: {augment: ['cutout(16)']}",
            r"data\.augment\.0 \(line 2, .*\): Cannot read 'cutout\(16\)'",
        ),
    ],
)
def test_values_of_a_wrong_kind_are_refused(read, line, message):
    refused(read, f"model: unet\n{line}\n", message)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("0.5", 0.5),
        ("5s", 5.0),
        ("45s", 45.0),
        ("10m", 600.0),
        ("1m30s", 90.0),
        ("8h30m", 30600.0),
        ("1h45s", 3645.0),
        ("1h", 3600.0),
    ],
)
def test_durations(read, text, seconds):
    assert read(f"model: unet\ntrain: {{time_budget: {text}}}\n").train.time_budget == seconds


@pytest.mark.parametrize("text", ["'90'", "10 minutes", "8h30", "''", "m", "-5m", "1.5h", "30m1h"])
def test_what_is_no_duration(read, text):
    refused(
        read,
        f"model: unet\ntrain:\n  time_budget: {text}\n",
        r"train\.time_budget \(line 3, column 3\): write seconds, or a duration such as 10m or",
    )


def test_a_duration_is_longer_than_nothing(read):
    refused(read, "model: unet\ntrain: {time_budget: 0s}\n", "greater than 0")


# Files that are no config


def test_unknown_keys_come_with_line_and_nearest(read):
    refused(
        read,
        "model: unet\ntrain:\n  epochs: 3\n  epoch: 4\n",
        r"c\.yaml: Unknown key \(line 4, column 3\): 'train\.epoch'\. Did you mean 'train\.ep",
    )
    refused(read, "modle: unet\nmodel: unet\n", r"\(line 1, .*\): 'modle'\. Did you mean 'model'")


def test_several_problems_are_reported_together(read):
    said = refused(
        read,
        "train:\n  epochs: 0\n  epoch: 4\ndata:\n  batch_size: many\n",
        "model is missing",
    )
    for part in (
        r"train.epochs (line 2, column 3): Input should be greater than 0",
        r"Unknown key (line 3, column 3): 'train.epoch'",
        r"data.batch_size (line 5, column 3): Input should be a valid integer",
    ):
        assert part in said


def test_a_wrong_entry_does_not_make_its_list_empty_too(read):
    said = refused(read, MINIMAL + "loss: [{name: dice, weight: -1}]\n", r"loss\.0\.weight")
    assert "at least one entry" not in said
    refused(read, MINIMAL + "loss: []\n", r"loss \(line 2.*\): needs at least one entry\.")


def test_lines_are_of_the_file_and_not_of_what_set_replaced(read):
    text = "model: unet\ntrain:\n  ema: 2\n"
    refused(read, text, r"train\.ema \(line 3, .*\): .*less than 1")
    refused(read, text, r"train\.ema \(--set\): .*less than 1", "train={ema: 3}")
    refused(read, text, r"train\.ema \(--set\): .*less than 1", "train.ema=3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"must hold keys and values\. Received: None"),
        ("# nothing\n", r"must hold keys and values"),
        ("- unet\n- 3\n", r"must hold keys and values\. Received: \['unet', 3\]"),
        ("- " + "x" * 5000, r"must hold keys and values"),
        ("unet", r"must hold keys and values\. Received: 'unet'"),
        ("model: [unet", r"is not valid YAML.*(\n.*)*line 1"),
        ("model: unet\n---\nmodel: unet\n", "is not valid YAML"),
        ("model: \x07", "is not valid YAML"),
        (
            "model: unet\nseed: 1\nmodel: unetpp\n",
            r"line 3: `model` is written twice \(first in line 1",
        ),
        ("model: {name: unet, name: x}", "`name` is written twice"),
        ("model: &m unet\nseed: *m\n", r"aliases \(\*name\) are not read"),
        ("model: unet\n<<: {seed: 3}\n", r"Unknown key \(line 2, .*\): '<<'"),
        (
            "model: !!python/object/apply:os.system [exit 3]\n",
            r"tags \(.*os\.system\) are not read",
        ),
        ("model: !!python/name:os.system\n", "are not read"),
        ("seed: !!int ''\nmodel: unet\n", "are not read"),
        ("seed: !!float x\nmodel: unet\n", "are not read"),
        ("model: unet\nseed: " + "1" * 5000, "holds a number that cannot be read"),
        ("? [a]\n: 1\n", r"line 1: a key must be text"),
        ("model: {name: unet, x: " + "[" * 25 + "]" * 25 + "}", "nested deeper than 20 levels"),
        ("model: " + "[" * 5000, "nested deeper than 20 levels"),
        ("- " * 5000 + "x", "nested deeper than 20 levels"),
        (
            b"model: unet\ndata: {class_names: [caf\xe9]}\n",
            r"is not UTF-8 text \(line 2\).*Save it as UTF-8",
        ),
        ("model: unet\n".encode("utf-16"), "is not UTF-8 text"),
        (b"model: unet\n#" + b"x" * MAX_BYTES, r"has more than 1,000,000 bytes"),
    ],
)
def test_what_is_no_config(read, text, message):
    refused(read, text, message)


def test_a_tag_calls_nothing(read, tmp_path):
    canary = tmp_path / "canary"
    refused(read, f"model: !!python/object/apply:os.mkdir ['{canary}']\n", "are not read")
    assert not canary.exists()


def test_a_bomb_of_aliases_is_refused_at_once(read):
    lines = ["a0: &a0 [x]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)
    ]
    refused(read, "\n".join(lines), "aliases")


def test_a_byte_order_mark_is_no_part_of_the_first_key(read):
    assert read("﻿model: unet\n").model.name == "unet"


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"Cannot read the config .*none\.yaml: No such file"):
        load_config(SegmentationConfig, tmp_path / "none.yaml")
    with pytest.raises(InputError, match=r"Cannot read the config .*: Is a directory"):
        load_config(SegmentationConfig, tmp_path)


def test_of_a_file_without_end_only_the_allowed_size_is_read():
    with pytest.raises(InputError, match="more than 1,000,000 bytes"):
        load_config(SegmentationConfig, Path("/dev/zero"))


# Names, saving, comparing


def test_every_unknown_name_is_listed_with_the_nearest(read):
    tables = {
        "model": Registry("model", {"unet": "json:dumps"}),
        "loss": Registry("loss", {"dice": "json:dumps"}),
        "data.augment": Registry("augmentation", {"flip_lr": "json:dumps"}),
    }
    good = read("model: unet\nloss: [dice]\ndata: {augment: [flip_lr]}\n")
    check_names(good, tables)
    bad = read("model: unett\nloss: [dice, dise]\ndata: {augment: [flip_rl]}\n")
    with pytest.raises(InputError) as said:
        check_names(bad, tables)
    assert str(said.value).splitlines() == [
        "model: Unknown model: 'unett'. Did you mean 'unet'? Available: unet.",
        "  loss: Unknown loss: 'dise'. Did you mean 'dice'? Available: dice.",
        "  data.augment: Unknown augmentation: 'flip_rl'. Did you mean 'flip_lr'? "
        "Available: flip_lr.",
    ]


FULL = """
seed: 3
data:
  source: "folder(mask_values={0: 0, 255: 1}, parts=('a', 'b'))"
  image_size: [64, 128]
  channels: 3
  class_names: ['1e3', 'no', '007', '12:30', 'null', '~', 'a: b', 'é☃', '.5', 'true', ' x ', '']
  ignore_label: null
  splits: some/where.csv
  augment: [flip_lr, 'cutout(size=(5, 7), p=0.25)']
  mix: ['mixup(alpha=1e-1)']
model: {name: unet, width: 8, note: '1e-3', empty: {}, deep: [[1, [2]], {a: .inf}]}
loss: [dice, 'focal(gamma=2.0, weight=0.5)', 'dice(weight=1, weight_end=0)']
metrics: [mean_iou, mean_dice]
postprocess: ['drop_class(index=0)']
train:
  time_budget: 8h30m
  optimizer: sgd(learning_rate=1e-5, momentum=0.9)
  schedule: step(every=3)
  deterministic: true
  ema: 0.999
"""


@pytest.mark.parametrize("text", [MINIMAL, FULL])
def test_a_saved_config_is_the_config(read, text):
    config = read(text)
    saved = dump_config(config)
    assert read(saved) == config
    assert dump_config(read(saved)) == saved
    assert set(yaml.safe_load(saved)) == set(SegmentationConfig.model_fields)


def test_a_saved_config_repeats_what_is_shared(read):
    shared = [1, 2]
    saved = dump_config(SegmentationConfig(model=Spec(name="unet", a=shared, b=shared)))
    assert read(saved).model.kwargs == {"a": [1, 2], "b": [1, 2]}


def test_differences_name_the_keys(read):
    old = read(MINIMAL).model_dump(mode="json")
    new = read(FULL, "train.epochs=60").model_dump(mode="json")
    assert differences(old, old) == []
    lines = differences(old, new)
    assert "train.epochs: 40 -> 60" in lines
    assert "seed: 0 -> 3" in lines
    assert all(" -> " in line for line in lines)
    assert differences({"a": {"b": 1}}, {"a": {"c": 2}}) == ["a.b: 1 -> None", "a.c: None -> 2"]


def test_a_config_cannot_be_changed(read):
    with pytest.raises(ValueError, match="frozen"):
        read(MINIMAL).train.epochs = 3


def test_a_part_of_a_default_can_be_set(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: unet\n")
    overrides = ["train.schedule.warmup=.1", "train.optimizer.weight_decay=0.1"]
    train = load_config(SegmentationConfig, path, overrides).train
    assert (train.schedule.name, train.schedule.kwargs) == ("cosine", {"warmup": 0.1})
    assert train.optimizer.kwargs == {"learning_rate": 1e-3, "weight_decay": 0.1}
