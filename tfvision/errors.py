"""The errors a user can meet, and the exit code each one ends the program with.

Exit codes: 0 success, 2 the user's input, 3 the environment (disk, device, versions),
4 internal, 130 and 143 signals.
"""


class InputError(ValueError):
    """Something the user gave is wrong: a config, a flag, a file, a data set.

    The message says what must hold, what came (file, row, key), and what to do.
    """

    exit_code = 2


class EnvironmentFault(RuntimeError):
    """The machine is in the way: no space, no such device, an unsupported version."""

    exit_code = 3


class PartFailed(RuntimeError):
    """A part of a run failed (a callback, the export, the report); what was trained is kept."""

    exit_code = 4


def out_of_memory(error: BaseException) -> bool:
    """Whether this is Python's, NumPy's, TensorFlow's or oneDNN's way to say that memory is full.

    TensorFlow's class is known by its name, so that it need not be imported. oneDNN, which
    computes convolutions on the CPU, has no class and no better words; tf.data wraps what Python
    raises in an error of its own.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or "ResourceExhaustedError" in names:
        return True
    wrapped = ("could not create a primitive", "ResourceExhaustedError:", "MemoryError:")
    return "OpError" in names and any(words in str(error) for words in wrapped)
