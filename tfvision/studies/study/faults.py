"""What is wrong with the rungs of a study, said of all of them at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from tfvision.errors import InputError
from tfvision.text import counted


class Faults:
    """Faults of rungs, collected until all have been looked at."""

    def __init__(self):
        self._rungs: dict[str, list[str]] = {}  # fault -> the rungs that have it

    @contextmanager
    def of(self, rung: str) -> Iterator[None]:
        """Keeps the `InputError` that the block ends with as a fault of a rung."""
        try:
            yield
        except InputError as error:
            self._rungs.setdefault(str(error), []).append(rung)

    def check(self) -> None:
        """Raises an `InputError` that names all faults, where there are any."""
        if not self._rungs:
            return
        number = len({name for names in self._rungs.values() for name in names})
        lines = [
            f"Rung{'s' * (len(names) > 1)} {', '.join(map(repr, names))}: {fault}"
            for fault, names in self._rungs.items()
        ]
        raise InputError(
            "\n".join([f"{counted(number, 'rung')} cannot be trained, so nothing was:", *lines])
        )
