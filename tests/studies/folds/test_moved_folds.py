"""Folds whose data has moved: told once, by its content. No training: their records are made."""

import json
import shutil

import pytest

from tests.data.make import pairs
from tests.support import runs
from tfvision.cli import commands, study_commands
from tfvision.config import dump_config, load_any
from tfvision.errors import InputError
from tfvision.recipe.dataset import prepare
from tfvision.studies.folds.folder import (
    CONFIG,
    check_place,
    load_folds_config,
    move_data,
    open_data,
)


@pytest.fixture
def folds(tmp_path):
    """A folder of two folds, of which the first has begun; its data goes from `old` to `new`."""
    data = pairs(tmp_path / "old", 8)
    written = runs.write_config(tmp_path / "c.yaml", data, data={"folds": 2, "fold": 0})
    config = load_any(written)
    found = prepare(config.data, seed=config.seed)
    folder = tmp_path / "folds"
    (folder / "fold-0").mkdir(parents=True)
    for file in (folder / CONFIG, folder / "fold-0" / "config.yaml"):
        file.write_text(dump_config(config))
    (folder / "fold-0" / "data.json").write_text(json.dumps(found.record()))
    names = [record.id for record in found.source.records]
    samples = {"ids": names, "folds": [0] * 8, "units": names}
    record = {"data_fingerprint": found.scan.fingerprint, "samples": samples}
    (folder / "folds.json").write_text(json.dumps(record))
    shutil.move(data, tmp_path / "new")
    return folder


def test_folds_whose_data_went_away_say_what_to_type_and_take_the_new_place(folds, tmp_path):
    with pytest.raises(InputError, match=r"train_seg\.py --resume .*folds --data PATH"):
        open_data(folds)
    move_data(folds, tmp_path / "new")
    source, places = open_data(folds)
    assert len(places) == len(source) == 8
    assert load_any(folds / "fold-0" / "config.yaml").data.source.kwargs["path"] == str(
        tmp_path / "new"
    )


def test_other_data_is_refused_and_nothing_is_changed(folds, tmp_path):
    before = (folds / CONFIG).read_text()
    with pytest.raises(InputError, match=r"(?s)The data set is not the one.*1 sample is new: s8"):
        move_data(folds, pairs(tmp_path / "other", 8, first=1))
    assert (folds / CONFIG).read_text() == before


@pytest.mark.parametrize(
    "command", ["postprocess", "aggregate", "calibrate", "pseudo", "ensemble", "--resume"]
)
def test_every_command_of_folds_says_and_takes_data(folds, tmp_path, command, capsys, monkeypatch):
    """Up to where the work begins: the place is asked for, and written into the configs."""
    monkeypatch.setattr(study_commands, "import_tensorflow", lambda: None)
    if command == "--resume":
        argv = [command, folds]
        assert runs.train(*argv) == 2
        said = capsys.readouterr().err
        assert "is no longer at" in said
        assert f"--resume {folds} --data PATH" in said
        assert "does not exist" not in said
        return
    with pytest.raises(InputError, match="with --data PATH here"):
        check_place(folds, load_folds_config(folds).data)
    for module in ("cli.study_commands", "studies.folds.folder"):
        monkeypatch.setattr(f"tfvision.{module}.read_folds", lambda folder: None, raising=False)
    stop = "stop here"

    def stopped(*args, **options):
        raise InputError(stop)

    for target in (
        *("fitted.postprocess.postprocess", "fitted.aggregate.aggregate", "fitted.pseudo.pseudo"),
        *("fitted.temperature.calibrate", "ensemble.members.read_given"),
    ):
        monkeypatch.setattr(f"tfvision.studies.{target}", stopped)
    more = ("--out", tmp_path / "out") if command == "ensemble" else ()
    argv = [command, folds, *more, "--quiet", "--data"]
    assert commands.main([*map(str, argv), str(tmp_path / "new")]) == 2
    assert stop in capsys.readouterr().err
    assert load_folds_config(folds).data.source.kwargs["path"] == str(tmp_path / "new")
    assert commands.main([*map(str, argv), str(tmp_path / "nowhere")]) == 2
    assert "there is no such file or folder" in capsys.readouterr().err
