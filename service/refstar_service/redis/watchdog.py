"""Runs a command, and ends it when this process's standard input closes: that is, when the parent is gone.

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

GRACE = 10.0  # seconds from SIGTERM to SIGKILL; redis-server writes its last changes to disk meanwhile
PARENT_CHECK = 0.5  # seconds; a process that the parent forked may hold the pipe open beyond the parent's end
PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> int:
    parent = os.getppid()
    # Only the closing of the pipe ends this process. Handlers, since ignored signals would be ignored by the
    # command as well.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)

    end_with_me = _end_with_me if sys.platform == "linux" else None
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False, preexec_fn=end_with_me)
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


def _end_with_me() -> None:
    # In case somebody kills the watchdog itself. Here the tie to a thread does no harm: there is only one.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
