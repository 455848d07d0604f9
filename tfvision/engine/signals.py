"""Ctrl-C and SIGTERM end a run after the step at hand, with its state saved."""

import os
import signal


class Interrupted(Exception):
    """The run was asked to stop, and its state is saved."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class StopRequest:
    """Remembers the first SIGINT or SIGTERM; a second one ends the process at once.

    Use it in a `with` statement, in the main thread.
    """

    def __init__(self):
        self.number: int | None = None
        self._before = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, _frame):
        if self.number is not None:
            os._exit(128 + number)  # the last checkpoint is whole: writes are atomic
        self.number = number

    def check(self) -> None:
        """Raises `Interrupted` when a signal has come."""
        if self.number is not None:
            raise Interrupted(self.number)
