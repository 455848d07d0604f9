"""Which devices a run uses, and in what precision."""

import functools
import os
import re

from tfvision.errors import EnvironmentFault, InputError


def parse_device(text: str) -> tuple[str, tuple[int, ...] | None]:
    """`auto`, `cpu`, `gpu`, `gpu:0,1` (which), `cpu:2` (how many logical ones).

    Returns:
        The kind, `auto`, `cpu` or `gpu`, and the numbers behind the colon or None.
    """
    match = re.fullmatch(r"(auto|cpu|gpu)(?::(\d{1,3}(?:,\d{1,3})*))?", text)
    if match:
        kind, numbers = match[1], match[2]
        which = tuple(int(n) for n in numbers.split(",")) if numbers else None
        good = {
            "auto": which is None,
            "cpu": which is None or (len(which) == 1 and which[0] > 0),
            "gpu": which is None or len(set(which)) == len(which),
        }
        if good[kind]:
            return kind, which
    raise InputError(
        "--device must be auto, cpu, gpu, gpu:0,1 (which GPUs) or cpu:2 (how many logical CPUs). "
        f"Received: {text!r}."
    )


def make_strategy(device: str):
    """The `tf.distribute` strategy for a `--device` value; call it before any tensor is made.

    One device gives TensorFlow's default strategy, several `MirroredStrategy`. The step and
    the loop take `MultiWorkerMirroredStrategy` too, but nothing here starts its workers.

    Raises:
        InputError: The text is no device, or TF_CONFIG asks for several machines.
        EnvironmentFault: There is no such device here.
    """
    kind, which = parse_device(device)
    if "TF_CONFIG" in os.environ:
        raise InputError(
            "TF_CONFIG is set, but the command line trains on one machine: its workers would "
            "all write to one run folder. Unset TF_CONFIG."
        )
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if kind == "gpu" and not gpus:
        raise EnvironmentFault(
            f"--device {device}: TensorFlow sees no GPU here, only {_seen(tf)}. Run with --device "
            "cpu, or see `python -m tfvision doctor`."
        )
    if kind == "gpu" and which and max(which) >= len(gpus):
        raise EnvironmentFault(
            f"--device {device}: TensorFlow sees {len(gpus)} GPU(s), numbered from 0: {_seen(tf)}."
        )
    if kind == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        return _cpu_strategy(tf, which[0] if kind == "cpu" and which else 1)
    chosen = [gpus[i] for i in which] if which else gpus
    tf.config.set_visible_devices(chosen, "GPU")
    for gpu in chosen:
        tf.config.experimental.set_memory_growth(gpu, True)
    return _mirrored(tuple(f"GPU:{i}" for i in range(len(chosen))))


def count_replicas(device: str) -> int:
    """Devices that `make_strategy` would take, none of which is started here."""
    import tensorflow as tf

    kind, which = parse_device(device)
    if kind == "cpu":
        return which[0] if which else 1
    return len(which or tf.config.list_physical_devices("GPU")) or 1


def _seen(tf) -> str:
    """The devices there are, as `CPU:0, GPU:0`."""
    devices = tf.config.list_physical_devices()
    return ", ".join(d.name.removeprefix("/physical_device:") for d in devices)


def _cpu_strategy(tf, count: int):
    cpu = tf.config.list_physical_devices("CPU")[0]
    have = tf.config.get_logical_device_configuration(cpu)
    if len(have or [1]) < count:
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * count
            )
        except RuntimeError as error:
            raise EnvironmentFault(
                f"--device cpu:{count}: TensorFlow is already running with {len(have or [1])} "
                "logical CPU(s) in this process. Start a fresh one."
            ) from error
    return _mirrored(tuple(f"CPU:{i}" for i in range(count)))


@functools.cache
def _mirrored(names: tuple[str, ...]):
    """One strategy a set of devices and process: two would number their collectives alike,
    and TensorFlow would take those of the second for the first's."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.get_strategy()


def describe(strategy) -> dict:
    """What a run records of its devices."""
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    return {
        "strategy": type(strategy).__name__,
        "replicas": strategy.num_replicas_in_sync,
        "gpus": [tf.config.experimental.get_device_details(g).get("device_name") for g in gpus],
        "cpus": os.cpu_count(),
    }


def resolve_precision(precision: str) -> str:
    """`auto` becomes float16 where every visible GPU has tensor cores, else float32."""
    import tensorflow as tf

    if precision != "auto":
        return precision
    gpus = tf.config.get_visible_devices("GPU")
    capabilities = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in gpus
    ]
    fast = bool(capabilities) and all(c >= (7, 0) for c in capabilities)
    return "mixed_float16" if fast else "float32"


def resolve_determinism(deterministic: str | bool, *, xla: bool) -> bool:
    """`auto` is True on the CPU, False on GPUs, where it costs speed and some ops refuse.

    Raises:
        InputError: It is asked for together with XLA, which refuses some ops then.
    """
    import tensorflow as tf

    if deterministic == "auto":
        return not (xla or tf.config.get_visible_devices("GPU"))
    if deterministic and xla:
        raise InputError(
            "train.deterministic and train.xla exclude each other: XLA has no deterministic "
            "gradient of max pooling. Set one of them to false."
        )
    return bool(deterministic)
