"""How much memory there is: of the machine, or of the container this runs in."""

import contextlib
import os
from pathlib import Path

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes() -> tuple[int, int | None]:
    """Bytes in all, and those that can be taken without swapping; None where that is unknown."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in map(Path, LIMITS):
        text = limit.read_text().strip() if limit.is_file() else ""
        if text.isdigit():
            total = min(total, int(text))
    free = None
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                free = min(total, 1024 * int(line.split()[1]))
    return total, free
