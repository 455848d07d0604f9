"""One step instead of a run: what it would take, and what augmentation does."""

import time
from typing import Any

from tfvision.engine.progress import duration
from tfvision.report.augment_page import Augmented, write_picture
from tfvision.runs.build import Built
from tfvision.runs.environment import peak_memory
from tfvision.runs.plan import checkpoint_bytes
from tfvision.runs.set_up import SetUp


def dry_run(run: SetUp, built: Built) -> dict[str, Any]:
    """One step and one validation, timed; what a whole run would take. Writes a picture only."""
    config, step = run.config, built.step
    stream = iter(step.strategy.experimental_distribute_dataset(built.batches(0)))
    rate = 1e-4
    float(step(next(stream), rate))
    began = time.monotonic()
    float(step(next(stream), rate))
    seconds = time.monotonic() - began
    began = time.monotonic()
    if built.validate is not None:
        built.validate()
    scoring = time.monotonic() - began
    steps = max(1, round(run.examples.chosen.per_epoch / config.data.batch_size))
    disk = checkpoint_bytes(step)
    summary = {
        "task": config.task,
        "arch": config.model.name,
        "dry_run": True,
        "num_parameters": step.model.count_params(),
        "steps_per_epoch": steps,
        "seconds_per_step": seconds,
        "estimated_epoch_seconds": steps * seconds + scoring,
        "estimated_seconds": config.train.time_budget
        or config.train.epochs * (steps * seconds + scoring),
        "peak_memory_bytes": peak_memory(),
        "checkpoint_bytes": disk,
        "augmentation_picture": _augmentation_picture(
            run.request, run.task.augmented(run.recipe, run.prepared), run.say
        ),
    }
    run.say(
        f"dry run: a step takes {seconds:.2f} s, an epoch of {steps} steps with validation about "
        f"{duration(summary['estimated_epoch_seconds'])}, the run about "
        f"{duration(summary['estimated_seconds'])}; peak memory {peak_memory() / 2**30:.1f} GiB, "
        f"checkpoints {disk / 2**20:.0f} MiB. No run was written."
    )
    return summary


def _augmentation_picture(request, examples: Augmented | None, say) -> str | None:
    """Writes a dry run's picture beside the run folder, which does not exist; its path."""
    if examples is None:
        say("data.augment and data.mix are empty: there is no augmentation to show")
        return None
    path = request.run.path.with_name(f"{request.run.path.name}-augmentation.png")
    write_picture(path, examples)
    say(f"what the augmentation makes of training samples: {path}")
    return str(path)
