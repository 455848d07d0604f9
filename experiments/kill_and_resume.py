"""Does a killed and resumed run end as the uninterrupted one? Bit for bit, or exit code 1.

    python experiments/kill_and_resume.py
    python experiments/kill_and_resume.py --kills 50 --seed 1 --device cpu --out /tmp/kills

Trains once undisturbed. Then trains the same again in another folder, ends the whole
program by SIGKILL at random moments (while it starts, trains, saves, scores, exports), goes
on each time with --resume, and compares what is there in the end: the SHA-256 over all
variables, the best epoch, all scores, and metrics.csv without its columns of time.

The moments are spread over the duration of the undisturbed run. A third of them lie inside a
save, each at a named stage of it (kill_in_save.py). Every sitting is a fork of this process,
which has imported TensorFlow and used nothing of it, so that the import is paid once. What was
found goes into kills.json in --out.
"""

import argparse
import csv
import itertools
import json
import os
import random
import re
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from experiments import kill_in_save

SAVE_EVERY = 0.3  # seconds: most moments lie inside an epoch, many near a save
TIMES = ("seconds", "images_per_second")
CONFIG = f"""
seed: 0
data:
  source: embedded
  batch_size: 16
  image_size: [32, 64]
  augment:
    - flip_lr(p=0.5)
    - rotate(max_degrees=10, p=0.5)
    - brightness(max_delta=0.2, p=0.5)
  mix:
    - mixup(alpha=0.2, p=0.5)
model: {{name: unetpp, width: 4, depth: 2, dropout: 0.2}}
loss: [cross_entropy, dice]
train:
  epochs: 20
  optimizer: {{name: adamw, learning_rate: 3e-3}}
  schedule: plateau(patience=1)
  ema: 0.95
  clip_norm: 1.0
  checkpoint_every: {SAVE_EVERY}
"""


@dataclass(frozen=True)
class Durations:
    """Seconds of the undisturbed run, and its steps.

    Attributes:
        start: From the launch to the first checkpoint.
        train: From there to the last.
        finish: From there to the end: scores, predictions, exports, report.
        steps: Of the whole training.
    """

    start: float
    train: float
    finish: float
    steps: int


@dataclass(frozen=True)
class Moment:
    """When to kill.

    Attributes:
        phase: `start`, `train`, `save` or `finish`.
        share: Of that phase, in [0, 1).
        delay: Seconds behind the checkpoint that is waited for, while it trains.
        stage: Of the sitting's first save, where that is what is killed.
    """

    phase: str
    share: float
    delay: float
    stage: str | None = None


@dataclass(frozen=True)
class Kill:
    """One kill as it happened; `saving` says whether a checkpoint was being written."""

    moment: Moment
    seconds: float
    step: int
    saving: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10, help="a device setting")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--device", nargs="+", default=["cpu", "cpu:2"], help="as of train_seg.py")
    parser.add_argument("--out", type=Path, default=Path("runs/kill_and_resume"))
    arguments = parser.parse_args()
    if arguments.out.exists() and any(arguments.out.iterdir()):
        parser.error(f"--out {arguments.out} is not empty; choose another folder.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    config = arguments.out / "config.yaml"
    config.write_text(CONFIG)
    from tfvision.cli import training

    training.import_tensorflow()
    good, found = True, {}
    for device in arguments.device:
        name = device.replace(":", "-")
        program = Program(config, device, arguments.out / f"{name}.log", arguments.out / "cache")
        whole, killed = arguments.out / f"{name}-whole", arguments.out / f"{name}-killed"
        durations = undisturbed(program, whole)
        print(
            f"--device {device}: undisturbed, {durations.start:.0f} s to start, "
            f"{durations.train:.0f} s for {durations.steps} steps, {durations.finish:.0f} s to "
            "score and export",
            flush=True,
        )
        moments = plan(arguments.kills, durations, random.Random(f"{arguments.seed} {device}"))
        kills = disturbed(program, killed, moments, durations)
        equal = report(whole, killed, kills, len(moments))
        good = equal and good
        found[device] = {"equal": equal, "kills": [asdict(kill) for kill in kills]}
        (arguments.out / "kills.json").write_text(json.dumps(found, indent=1))
    return 0 if good else 1


class Sitting:
    """A fork of this process that trains; to be waited for, or killed."""

    def __init__(self, pid: int):
        self.pid, self.code = pid, None

    def poll(self, wait: bool = False) -> int | None:
        if self.code is None:
            pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self) -> int:
        return self.poll(wait=True)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


class Program:
    """The training script in a process of its own; what it prints goes into a file."""

    def __init__(self, config: Path, device: str, log: Path, cache: Path):
        self._config, self._device, self._log, self._cache = config, device, log, cache.resolve()

    def start(self, run: Path, stage: str | None = None) -> Sitting:
        """Begins the run, or goes on with it where it has got as far as its config.

        Args:
            run: Its folder.
            stage: Of the first save of this sitting, at which it ends itself; None: it does not.
        """
        how = ["--config", self._config.resolve(), "--out", run.resolve()]
        if (run / "config.yaml").exists():
            how = ["--resume", run.resolve()]
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return Sitting(pid)
        code = 4
        try:
            with open(self._log, "a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            os.environ["TFVISION_CACHE"] = str(self._cache)
            if stage is not None:
                kill_in_save.arm(stage)
            from tfvision.cli import training

            code = training.train("segmentation", [*map(str, how), "--device", self._device])
        finally:
            sys.stdout.flush()
            os._exit(code)

    def check(self, sitting: Sitting) -> None:
        """Waits for the end of a sitting that was left alone."""
        if sitting.wait():
            sys.exit(f"a sitting ended with {sitting.code}; see {self._log}")


def undisturbed(program: Program, run: Path) -> Durations:
    began = time.monotonic()
    process = program.start(run)
    seen: dict[int, float] = {}  # when each step's checkpoint was first there
    while process.poll() is None:
        seen.setdefault(newest_step(run), time.monotonic())
        time.sleep(0.02)
    program.check(process)
    steps = max(seen)
    first = seen[min(step for step in seen if step)]
    return Durations(first - began, seen[steps] - first, time.monotonic() - seen[steps], steps)


def plan(count: int, durations: Durations, chance: random.Random) -> list[Moment]:
    """Moments spread over start and training, and of five or more one after it.

    They come in the order of the training; those in the start are mixed among the others,
    because resuming starts, too. Of those in the training every second is inside a save, each
    stage in its turn.
    """
    stages = itertools.cycle(kill_in_save.STAGES)
    last = [Moment("finish", chance.uniform(0, 0.5), 0.0)] if count >= 5 else []
    total = durations.start + durations.train
    moments, starts = [], []
    for i in range(count - len(last)):
        at = (i + chance.random()) / (count - len(last)) * total
        delay = chance.uniform(0, 2 * SAVE_EVERY)
        if at < durations.start:
            starts.append(Moment("start", at / durations.start, delay))
        else:
            # What lies near the end might end before it is killed, and every kill inside a
            # save lets some steps pass.
            share = 0.6 * (at - durations.start) / durations.train
            inside = len(moments) % 2 == 1
            stage = next(stages) if inside else None
            moments.append(Moment("save" if inside else "train", share, delay, stage))
    for moment in starts:
        moments.insert(chance.randint(0, len(moments)), moment)
    return moments + last


def disturbed(
    program: Program, run: Path, moments: list[Moment], durations: Durations
) -> list[Kill]:
    kills = []
    for moment in moments:
        kill = kill_at(program, run, moment, durations)
        if kill is None:
            return kills
        kills.append(kill)
        saving = f"  (saving: {moment.stage or 'by chance'})" if kill.saving else ""
        print(
            f"  kill {len(kills):2}: {moment.phase:6} at {moment.share:4.0%}, "
            f"{kill.seconds:5.1f} s into the sitting, newest checkpoint {kill.step}{saving}",
            flush=True,
        )
    program.check(program.start(run))
    return kills


def kill_at(program: Program, run: Path, moment: Moment, durations: Durations) -> Kill | None:
    """Starts a sitting and kills it; None where it came to its end before that."""
    left_at, resumed, leftovers = newest_step(run), sittings(run), unfinished(run)
    began = time.monotonic()
    process = program.start(run, moment.stage)
    if moment.phase == "save":
        if process.wait() != -signal.SIGKILL:
            program.check(process)
            return None
        return Kill(moment, time.monotonic() - began, newest_step(run), True)

    def due() -> bool:
        if moment.phase == "start":
            return time.monotonic() - began >= moment.share * durations.start
        if moment.phase == "train":
            aim = min(int(moment.share * durations.steps), durations.steps - 1)
            return newest_step(run) >= max(aim, left_at + 1)
        going = sittings(run) > resumed or left_at == 0
        return going and newest_step(run) == durations.steps

    while not due():
        if process.poll() is not None:
            program.check(process)
            return None
        time.sleep(0.005)
    delays = {"start": 0.0, "train": moment.delay, "finish": moment.share * durations.finish}
    time.sleep(delays[moment.phase])
    process.kill()
    if process.wait() != -signal.SIGKILL:
        program.check(process)
        return None
    saving = bool(unfinished(run) - leftovers)
    return Kill(moment, time.monotonic() - began, newest_step(run), saving)


def unfinished(run: Path) -> set[str]:
    """Temporary folders of saves that did not come to their end."""
    return {path.name for path in (run / "checkpoints").glob(".tmp-*")}


def newest_step(run: Path) -> int:
    """Step of the newest checkpoint, 0 without any."""
    folder = run / "checkpoints"
    names = os.listdir(folder) if folder.is_dir() else []
    return max((int(m[1]) for name in names if (m := re.fullmatch(r"ckpt-(\d+)", name))), default=0)


def sittings(run: Path) -> int:
    """How often the run has been taken up again."""
    log = run / "log.txt"
    return log.read_text().count("goes on after step") if log.exists() else 0


def report(whole: Path, killed: Path, kills: list[Kill], asked: int) -> bool:
    """Prints what is equal and what is not. Returns whether all is."""
    one, other = (json.loads((run / "summary.json").read_text()) for run in (whole, killed))
    rows = [(key, one[key], other[key]) for key in ("variables_sha256", "best_epoch", "steps")]
    rows += [("all scores", one["metrics"], other["metrics"])]
    rows += [("metrics.csv", history(whole), history(killed))]
    print(f"  {'':18}{'undisturbed':18}{'killed and resumed':18}")
    for name, a, b in rows:
        shown = [str(v)[:14] if isinstance(v, int | str) else f"{len(v)} entries" for v in (a, b)]
        print(f"  {name:18}{shown[0]:18}{shown[1]:20}{'equal' if a == b else 'DIFFERENT'}")
    phases = [kill.moment.phase for kill in kills]
    counts = ", ".join(f"{phases.count(phase)} in the {phase}" for phase in dict.fromkeys(phases))
    enough = len(kills) == asked
    print(
        f"  {len(kills)} of {asked} kills: {counts}" + ("" if enough else "  TOO FEW"), flush=True
    )
    return enough and all(a == b for _, a, b in rows)


def history(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


if __name__ == "__main__":
    sys.exit(main())
