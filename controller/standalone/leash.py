"""Runs a program that must not outlive its parent: ``python -I -S leash.py PARENT_PID PROGRAM [ARGUMENT...]``.

The kernel sends SIGTERM to the program when its parent dies, however that dies (Linux, prctl(2) PR_SET_PDEATHSIG; kept
over execve(2)). Elsewhere the program just runs. This is a program of its own, and imports nothing of ours, because the
alternative, code between fork and exec in a process with threads, can deadlock.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, forbid core dumps, then become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux":
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:
        sys.exit("the parent died first")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump of a program that holds credentials would, too
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and that would be inherited
    arguments = (ctypes.c_char_p * (len(program) + 1))(*map(os.fsencode, program), None)
    libc.execv(arguments[0], arguments)
    sys.exit(f"cannot run {program[0]}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
