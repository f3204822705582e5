#!/usr/bin/python3
"""Runs a command where io_uring is forbidden, as in a container with a seccomp profile:

    Tests/without_io_uring.py make test

The three system calls of io_uring fail with EPERM for the command and all that it starts. Needs no rights.
"""

import errno
import sys

from seccomp import ALLOW, FAIL_WITH, JUMP_IF_AT_LEAST, JUMP_IF_GREATER, LOAD_NUMBER, RETURN
from seccomp import become, install, instruction

# io_uring_setup, io_uring_enter, io_uring_register: the same numbers on every architecture.
FIRST, LAST = 425, 427


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    install([
        LOAD_NUMBER,
        instruction(JUMP_IF_AT_LEAST, FIRST, 0, 2),
        instruction(JUMP_IF_GREATER, LAST, 1, 0),
        instruction(RETURN, FAIL_WITH | errno.EPERM),
        instruction(RETURN, ALLOW),
    ])
    return become(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
