"""One writer at a time; its death sets the lock free."""

import contextvars
import signal
import subprocess
import sys
import threading

import pytest

from registry.errors import BusyError
from registry.home import Home
from registry.locks import writer

HOLDER = """
import sys, time
from pathlib import Path
from registry.home import Home
from registry.locks import writer
with writer(Home.at(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_holder_may_ask_again(home: Home) -> None:
    with writer(home, wait_s=0), writer(home, wait_s=0):
        pass
    with writer(home, wait_s=0):
        assert home.writer_lock.exists()


@pytest.mark.parametrize("inherits", [True, False])
def test_a_thread_holds_the_lock_only_with_its_context(home: Home, inherits: bool) -> None:
    outcome: list[str] = []

    def enter() -> None:
        try:
            with writer(home, wait_s=0):
                outcome.append("in")
        except BusyError:
            outcome.append("busy")

    with writer(home, wait_s=0):
        context = contextvars.copy_context()
        thread = threading.Thread(target=(lambda: context.run(enter)) if inherits else enter)
        thread.start()
        thread.join()
    assert outcome == ["in" if inherits else "busy"]


def test_another_home_is_another_lock(home: Home) -> None:
    with writer(home, wait_s=0), writer(Home.at(home.root / "other"), wait_s=0):
        assert home.writer_lock.exists()


def test_the_lock_of_a_killed_holder_is_free(home: Home) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(home.root)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(BusyError, match="another process"), writer(home, wait_s=0.05):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait(30)
    holder.stdout.close()
    with writer(home, wait_s=5):
        assert home.writer_lock.exists()
