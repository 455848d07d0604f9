"""The first signal is remembered, the second ends the process, and handlers come back."""

import os
import signal
import subprocess
import sys

import pytest

from tfvision.engine.signals import Interrupted, StopRequest


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_remembered_until_the_step_is_done(number, code):
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    with StopRequest() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        assert stop.number == number
        with pytest.raises(Interrupted, match=number.name) as said:
            stop.check()
    assert said.value.exit_code == code
    assert {n: signal.getsignal(n) for n in before} == before


def test_a_second_signal_ends_the_process_at_once():
    code = (
        "import os, signal; from tfvision.engine.signals import StopRequest\n"
        "with StopRequest():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('goes on', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('too far', flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (143, "goes on\n")
