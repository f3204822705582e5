"""The data plane against the simulated kernel: every pinned seed, and seeds derived from the commit."""

import os
import pathlib
import subprocess

PROJECT = pathlib.Path(__file__).resolve().parents[2]
SIMULATE = PROJECT / ".build" / "release" / "simulate"
FRESH_SEEDS = 512


def simulate(*arguments):
    result = subprocess.run(
        [SIMULATE, *arguments], capture_output=True, text=True, timeout=120, cwd=PROJECT,
        env={**os.environ, "SWIFT_BACKTRACE": "enable=no"},
    )
    assert result.returncode == 0, result.stdout + result.stderr


def commit():
    result = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=PROJECT)
    return result.stdout.strip() or "no commit"


def test_every_bug_that_was_found_stays_fixed():
    simulate("--pinned", "Tests/simulation-seeds.txt", "--quiet")


def test_fresh_worlds_end_well():
    simulate("--fresh", f"{FRESH_SEEDS}:{commit()}")


def test_fresh_worlds_of_http_mode_end_well():
    simulate("--http", "--fresh", f"{FRESH_SEEDS}:{commit()}")
