"""Waiting for a condition, with an end. Nothing in these tests sleeps for a time and hopes."""

import time

#: How long anything may take that takes a moment on an idle host. Only a failing test gets near it.
PATIENCE_SECONDS = 30.0


def wait_until(condition, what, seconds=PATIENCE_SECONDS):
    """The first true answer of `condition`; fails where it stays false."""
    deadline = time.monotonic() + seconds
    pause = 0.0005
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def wait_until_still(measure, what, rounds=15, seconds=PATIENCE_SECONDS):
    """Waits until `measure` answers the same many times in a row: whatever moved has come to a stop."""
    seen = []

    def is_still():
        seen.append(measure())
        return len(seen) > rounds and len(set(seen[-rounds:])) == 1

    wait_until(is_still, f"{what} comes to a stop", seconds)
    return seen[-1]
