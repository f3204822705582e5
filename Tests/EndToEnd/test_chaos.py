"""Clients of three backends that are killed, stopped and started again notice nothing: a short run of Tests/Chaos."""

import re
import shutil
import subprocess
import sys

import pytest

from weir_process import BINARY, ROOT

MISSING = [program for program in ("nginx", "wrk") if not shutil.which(program)]


@pytest.mark.skipif(bool(MISSING), reason=f"there is no {' and no '.join(MISSING)}")
def test_no_request_fails_while_backends_die_hang_and_come_back(engine, measured):
    ran = subprocess.run(
        [sys.executable, ROOT / "Tests/Chaos/chaos.py", "--weir", BINARY, "--engine", engine,
         "--seconds", "15", "--retries", "on"],
        capture_output=True, text=True, timeout=90)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    requests, kills, stops = map(int, re.search(r"(\d+) requests, (\d+) kills, (\d+) stops", ran.stdout).groups())
    assert requests > 1000 and kills >= 1 and stops >= 1
    # Weir has answered each deed, and its undoing, with a change of state.
    answered = {title: int(count) for title, count in re.findall(r"^  (\w+ to \w+): .*\((\d+)\)$", ran.stdout, re.M)}
    assert answered == {"killed to out": kills, "started to back": kills,
                        "stopped to out": stops, "continued to back": stops}
    measured(ran.stdout.splitlines()[1])
