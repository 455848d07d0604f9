"""One whole run with all its files, which many tests look at."""

import pytest

from tests.tasks import runs
from tfvision.tasks import finish


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    return runs.write_npz(tmp_path_factory.mktemp("data") / "scenes.npz")


@pytest.fixture(scope="session")
def whole(dataset, tmp_path_factory):
    """A finished run. Tests that write to it take a copy."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFVISION_CACHE", str(folder / "cache"))
        return runs.new_run(
            folder / "run",
            dataset,
            data={"augment": ["flip_lr(p=0.5)"]},
            train={"ema": 0.9},
        )


@pytest.fixture
def quick(monkeypatch):
    """Runs without their export, whose checks start two processes."""
    monkeypatch.setattr(finish, "export_run", lambda *args, **options: [])
