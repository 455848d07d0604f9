"""What a person sees of a training: one live line on a terminal, plain lines elsewhere."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO


class Progress:
    """Prints epochs as they run.

    Args:
        quiet: Print nothing.
        stream: Where to; a live line is drawn only where it is a terminal.
        log: Takes every line that stays, quiet or not.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        log: Callable[[str], None] | None = None,
    ):
        self._log = log
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._live = not quiet and self._stream.isatty()
        self._drawn = 0.0
        self._open = False

    def line(self, text: str) -> None:
        """A line that stays."""
        if self._log is not None:
            self._log(text)
        if self._quiet:
            return
        if self._open:
            self._stream.write("\r\x1b[2K")
            self._open = False
        self._stream.write(text + "\n")
        self._stream.flush()

    def live(self, text: str) -> None:
        """A line that the next one replaces; drawn at most five times a second."""
        now = time.monotonic()
        if not self._live or now - self._drawn < 0.2:
            return
        self._drawn = now
        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r\x1b[2K" + text[:width])
        self._stream.flush()
        self._open = True


def duration(seconds: float) -> str:
    """`8.2 s`, `3 min 05 s`, `2 h 14 min`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
