#!/usr/bin/python3
"""Runs a command with the system calls that a systemd unit allows, and no others:

    Tests/as_the_unit_allows.py configs/weir.service weir run

Where systemd lets the others fail, here they kill the process (SIGSYS), so that none goes unseen. Needs
systemd-analyze, which knows what stands for @system-service, and a C compiler, which knows their numbers.
"""

import re
import shutil
import subprocess
import sys

from seccomp import ALLOW, JUMP_IF_EQUAL, KILL_PROCESS, LOAD_NUMBER, RETURN
from seccomp import become, install, instruction


def members(name):
    """The system calls that a word of SystemCallFilter= stands for."""
    if not name.startswith("@"):
        return {name}
    text = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
    words = [line.strip() for line in text.splitlines()[1:]]
    return set().union(*(members(word) for word in words if word and not word.startswith("#")))


def allowed(unit):
    """Of the unit's text: a first line that allows, then what others add or, with ~, take away."""
    calls = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.M):
        named = set().union(*(members(word) for word in line.removeprefix("~").split()))
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def numbers():
    """The numbers of the system calls on this architecture, by name."""
    compiler = shutil.which("cc") or "clang"
    text = subprocess.run(
        [compiler, "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], capture_output=True, text=True,
        check=True).stdout
    return {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", text, re.M)}


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    with open(sys.argv[1]) as file:
        calls = allowed(file.read())
    instructions = [LOAD_NUMBER]
    # Sets name calls of other architectures too. What is allowed skips to the next pair where it does not match.
    for number in sorted(number for name, number in numbers().items() if name in calls):
        instructions += [instruction(JUMP_IF_EQUAL, number, 0, 1), instruction(RETURN, ALLOW)]
    install([*instructions, instruction(RETURN, KILL_PROCESS)])
    return become(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
