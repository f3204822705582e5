#!/usr/bin/python3
"""Runs a command where io_uring is forbidden, as in a container with a seccomp profile:

    Tests/without_io_uring.py make test

The three system calls of io_uring fail with EPERM for the command and all that it starts. Needs no rights.
"""

import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000
# io_uring_setup, io_uring_enter, io_uring_register: the same numbers on every architecture.
FIRST, LAST = 425, 427

LOAD_WORD, JUMP_IF_AT_LEAST, JUMP_IF_GREATER, RETURN = 0x20, 0x35, 0x25, 0x06


def instruction(code, value, if_true=0, if_false=0):
    """One struct sock_filter of <linux/filter.h>."""
    return struct.pack("HBBI", code, if_true, if_false, value)


def forbid():
    """Takes io_uring away from this process and its children, for good."""
    program = b"".join([
        instruction(LOAD_WORD, 0),  # the system call's number
        instruction(JUMP_IF_AT_LEAST, FIRST, 0, 2),
        instruction(JUMP_IF_GREATER, LAST, 1, 0),
        instruction(RETURN, SECCOMP_RET_ERRNO | errno.EPERM),
        instruction(RETURN, SECCOMP_RET_ALLOW),
    ])
    code = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    libc.prctl.restype = ctypes.c_int
    for option, arguments in (
        (PR_SET_NO_NEW_PRIVS, (1, 0, 0, 0)),
        (PR_SET_SECCOMP, (SECCOMP_MODE_FILTER, ctypes.addressof(
            ctypes.create_string_buffer(filter_program, len(filter_program))), 0, 0)),
    ):
        if libc.prctl(option, *arguments) != 0:
            code = ctypes.get_errno()
            raise OSError(code, "cannot install a seccomp filter: " + os.strerror(code))


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    forbid()
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        print(f"{sys.argv[1]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
