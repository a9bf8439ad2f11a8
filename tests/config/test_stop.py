"""Tests of the stop of jobs that run in other processes."""

import os
import signal
import time
from pathlib import Path

import pytest

from genlab.config.stop import Stop, obeying
from genlab.training.interruption import Interruption


def wait_for(condition: object, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition and time.monotonic() < end:
        time.sleep(0.01)


def test_the_file_stops_a_training_as_sigterm_does_and_everything_else_at_once(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with obeying(tmp_path / "stop"), Interruption().listening() as interruption:
            (tmp_path / "stop").touch()
            wait_for(interruption)
            assert interruption.signal == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt), obeying(tmp_path / "stop"):
            time.sleep(10)
    finally:
        signal.signal(signal.SIGINT, before)


def test_slurms_warning_stops_the_training_first_and_then_starts_the_job_again(tmp_path: Path) -> None:
    order: list[str] = []
    sigint = signal.getsignal(signal.SIGINT)
    sigusr2 = signal.signal(signal.SIGUSR2, lambda *_: order.append("again"))
    try:
        with obeying(tmp_path / "stop"), Interruption().listening() as interruption:
            os.kill(os.getpid(), signal.SIGUSR2)
            wait_for(interruption)
            assert interruption
            order.append("saved")
        assert order == ["saved", "again"]
    finally:
        signal.signal(signal.SIGUSR2, sigusr2)
        signal.signal(signal.SIGINT, sigint)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_creates_the_file_and_a_second_ctrl_c_interrupts(tmp_path: Path, number: int) -> None:
    heard: list[int] = []
    stop = Stop(tmp_path / "sweep" / "stop", heard.append)
    with pytest.raises(KeyboardInterrupt), stop.listening():  # noqa: PT012
        os.kill(os.getpid(), number)
        wait_for(heard)
        assert heard == [number]
        assert stop.file.exists()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    assert stop.file.exists()  # jobs that still run have to see it
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with stop.listening():
        pass
    assert not stop.file.exists()


def test_processes_that_start_meanwhile_do_not_get_ctrl_c(tmp_path: Path) -> None:
    with Stop(tmp_path / "stop", lambda _: None).listening():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
