"""Reading that ends: a file on a mount that stalls must not hold a run for ever.

A thread that waits inside the system cannot be stopped. So reads are done by daemon
threads, which an ending process does not wait for, and the caller watches the clock.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tfvision.data.files.issue import BadSample

T = TypeVar("T")

FILE_SECONDS = 60.0
"""Longest time one sample may take to be read. A hundred megapixels take about ten."""

GRACE_SECONDS = 1.0
"""A read found overdue gets this much more: after a stopped process goes on, all look late."""


class Stalled(BadSample):
    """A sample is not read in time. About the machine rather than the file: never set aside."""


def in_time(action: Callable[[], T], place: str) -> T:
    """`action()`, within `FILE_SECONDS`; see `map_in_time`."""
    return map_in_time(lambda _: action(), 1, workers=1, place=lambda _: place)[0]


def map_in_time(
    action: Callable[[int], T], count: int, *, workers: int, place: Callable[[int], str]
) -> list[T]:
    """`[action(0), ..., action(count - 1)]`, worked out by several threads.

    Args:
        action: Reads one sample. What it raises first is raised here.
        count: How many there are.
        workers: How many threads.
        place: What messages call sample i.

    Raises:
        Stalled: One call takes longer than `FILE_SECONDS`; names the sample.
    """
    results: list = [None] * count
    failures: list[BaseException] = []
    begun: dict[int, tuple[int, float]] = {}  # thread -> what it reads, and since when
    waiting = iter(range(count))
    lock = threading.Lock()

    def work(thread: int) -> None:
        while True:
            with lock:
                index = None if failures else next(waiting, None)
            if index is None:
                return
            begun[thread] = (index, time.monotonic())
            try:
                results[index] = action(index)
            except BaseException as error:  # raised again by the caller's thread
                failures.append(error)
            del begun[thread]

    threads = [
        threading.Thread(target=work, args=(number,), daemon=True, name=f"reader-{number}")
        for number in range(min(workers, count))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(min(1.0, FILE_SECONDS / 4))
                _check(begun, thread, place)
    except BaseException as error:
        failures.append(error)  # no thread begins another sample
        raise
    if failures:
        raise failures[0]
    return results


def _check(begun: dict[int, tuple[int, float]], thread, place: Callable[[int], str]) -> None:
    """Raises where a sample is overdue, and still is after a moment of grace."""
    for number, (index, since) in list(begun.items()):
        if time.monotonic() - since <= FILE_SECONDS:
            continue
        thread.join(GRACE_SECONDS)
        if begun.get(number) == (index, since):
            raise Stalled(
                place(index),
                f"cannot be read within {FILE_SECONDS:g} seconds: the disk or network it is on "
                "does not answer",
                "Check the mount (ls, df), or copy the data to a local disk.",
            )
