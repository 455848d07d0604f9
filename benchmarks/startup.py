"""Time to the answer of `--help` and of a config error, against bare Python.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "train_seg.py --help": [sys.executable, "train_seg.py", "--help"],
    "train_seg.py --set train.epoch=3": [sys.executable, "train_seg.py", "--set", "train.epoch=3"],
    "train_seg.py --arch unetp": [sys.executable, "train_seg.py", "--arch", "unetp"],
    "python -m tfvision --help": [sys.executable, "-m", "tfvision", "--help"],
}


def main(rounds: int = 9) -> None:
    times = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, cwd=ROOT, capture_output=True)
            times[name].append(time.perf_counter() - began)
    for name, values in times.items():
        print(f"{name:36} {statistics.median(values):.3f} s  (best {min(values):.3f})")


if __name__ == "__main__":
    main()
