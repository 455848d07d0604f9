"""Folds whose data has moved: told once, by its content. No training: their records are made."""

import json
import shutil

import pytest

from tests.data.make import pairs
from tests.support import runs
from tfvision.config import dump_config, load_any
from tfvision.errors import InputError
from tfvision.recipe.dataset import prepare
from tfvision.studies.folds.folder import CONFIG, move_data, open_data


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
