"""One step instead of a run: what it would take, and what augmentation does."""

import time

from tfvision.engine.progress import duration
from tfvision.engine.step import TrainStep
from tfvision.recipe.recipe import Recipe
from tfvision.recipe.sampling import TrainingSet
from tfvision.report.augment_page import Augmented, write_picture
from tfvision.runs.environment import peak_memory
from tfvision.runs.plan import checkpoint_bytes


def dry_run(
    request,
    recipe: Recipe,
    step: TrainStep,
    batches,
    validate,
    chosen: TrainingSet,
    examples: Augmented | None,
    say,
):
    """One step and one validation, timed; what a whole run would take. Writes a picture only."""
    config = recipe.config
    stream = iter(step.strategy.experimental_distribute_dataset(batches(0)))
    rate = 1e-4
    float(step(next(stream), rate))
    began = time.monotonic()
    float(step(next(stream), rate))
    seconds = time.monotonic() - began
    began = time.monotonic()
    if validate is not None:
        validate()
    scoring = time.monotonic() - began
    steps = max(1, round(chosen.per_epoch / config.data.batch_size))
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
        "augmentation_picture": _augmentation_picture(request, examples, say),
    }
    say(
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
