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
