"""One step instead of a run: what it would take, how data is read and augmented."""

import time
from typing import Any

from tfvision.engine.progress import duration
from tfvision.recipe.sampling import steps_per_epoch, training_samples
from tfvision.report.augment_page import write_picture
from tfvision.runs.build import Built
from tfvision.runs.environment import peak_memory
from tfvision.runs.plan import checkpoint_bytes
from tfvision.runs.set_up import SetUp
from tfvision.text import counted


def dry_run(run: SetUp, built: Built) -> dict[str, Any]:
    """One step and one validation, timed; what a whole run would take. Writes pictures only."""
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
    steps = steps_per_epoch(config, run.examples.chosen.per_epoch)
    disk = checkpoint_bytes(step)
    pictures = _write_pictures(run)
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
        **pictures,
    }
    written = ", ".join(path for path in pictures.values() if path)
    run.say(
        f"dry run: a step takes {seconds:.2f} s, an epoch of {counted(steps, 'step')} with "
        f"validation about {duration(summary['estimated_epoch_seconds'])}, the run about "
        f"{duration(summary['estimated_seconds'])}; peak memory {peak_memory() / 2**30:.1f} GiB, "
        f"checkpoints {disk / 2**20:.0f} MiB. No run was written; written: {written}"
    )
    return summary


def _write_pictures(run: SetUp) -> dict[str, str | None]:
    """Writes a dry run's pictures beside the run folder, which does not exist; their paths."""
    say, base = run.say, run.request.run.path
    samples = base.with_name(f"{base.name}-samples.png")
    write_picture(samples, training_samples(run.prepared))
    say(f"training samples as they are read: {samples}; another reading is declared with --set")
    augmented = run.task.augmented(run.recipe, run.prepared)
    path = base.with_name(f"{base.name}-augmentation.png")
    if augmented is None:
        say("data.augment and data.mix are empty: there is no augmentation to show")
    else:
        write_picture(path, augmented)
        say(f"what the augmentation makes of training samples: {path}")
    return {
        "samples_picture": str(samples),
        "augmentation_picture": None if augmented is None else str(path),
    }
