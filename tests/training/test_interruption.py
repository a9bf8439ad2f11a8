"""Signals stop a run after its step, and a second Ctrl-C at once."""

import signal

import pytest

from genlab.training.interruption import Interruption


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_ctrl_c_interrupts_at_once(second: signal.Signals) -> None:
    with Interruption().listening() as interruption:
        assert not interruption
        signal.raise_signal(signal.SIGINT)
        assert interruption.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)


def test_a_second_sigterm_lets_the_run_save() -> None:
    with Interruption().listening() as interruption:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert interruption.signal == signal.SIGTERM
