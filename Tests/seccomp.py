"""Filters of system calls (seccomp(2)), for the programs of this folder that run a command under one."""

import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
KILL_PROCESS = 0x80000000
FAIL_WITH = 0x00050000  # and an errno
ALLOW = 0x7FFF0000

LOAD_WORD, JUMP_IF_EQUAL, JUMP_IF_GREATER, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x25, 0x35, 0x06


def instruction(code, value, if_true=0, if_false=0):
    """One struct sock_filter of <linux/filter.h>."""
    return struct.pack("HBBI", code, if_true, if_false, value)


#: What every filter begins with: the system call's number.
LOAD_NUMBER = instruction(LOAD_WORD, 0)


def install(instructions):
    """For this process and all that it starts, for good. Needs no rights."""
    program = b"".join(instructions)
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code))
    header = ctypes.create_string_buffer(header, len(header))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    libc.prctl.restype = ctypes.c_int
    for option, arguments in (
        (PR_SET_NO_NEW_PRIVS, (1, 0, 0, 0)),
        (PR_SET_SECCOMP, (SECCOMP_MODE_FILTER, ctypes.addressof(header), 0, 0)),
    ):
        if libc.prctl(option, *arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, "cannot install a seccomp filter: " + os.strerror(number))


def become(command):
    """Runs a command in place of this program; comes back only where that fails."""
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
