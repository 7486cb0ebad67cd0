"""Runs a command, and ends it when this process's standard input closes: that is, when the parent is gone. And ends a
process itself together with its parent.

Started by path in a bare interpreter, so it imports the standard library only. A signal upon the parent's
death (prctl) could not replace it: Linux ties that to the thread that started the child, not to the process.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time

GRACE = 8.0  # seconds from SIGTERM to SIGKILL; redis-server writes its last changes to disk meanwhile
PARENT_CHECK = 0.5  # seconds; a process that the parent forked may hold the pipe open beyond the parent's end
PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> int:
    parent = os.getppid()
    # Only the closing of the pipe ends this process. Handlers, since ignored signals would be ignored by the
    # command as well.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)

    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False, preexec_fn=_end_with_me)
    while child.poll() is None and os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin], [], [], PARENT_CHECK)
        if readable and not os.read(sys.stdin.fileno(), 1):
            break

    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def end_with_parent(parent: int) -> None:
    """From now on, this process is killed as soon as the process `parent`, which has to start it from its main thread,
    is gone: whatever it is doing, and without a word, as if it had been killed itself."""
    # The kernel's signal comes at once, also to a process whose interpreter is busy; the thread does it elsewhere, and
    # for a parent that had gone before.
    _signal_upon_end_of_parent(signal.SIGKILL)
    threading.Thread(target=_watch_parent, args=(parent,), name="parent", daemon=True).start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK)
    os._exit(1)


def _end_with_me() -> None:
    # In case somebody kills the watchdog itself. Here the tie to a thread does no harm: there is only one.
    _signal_upon_end_of_parent(signal.SIGTERM)


def _signal_upon_end_of_parent(number: signal.Signals) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
