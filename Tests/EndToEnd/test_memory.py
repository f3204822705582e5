"""What an idle session costs. Memory is counted, not timed, so here it may fail a test."""

import pytest

from deadlines import wait_until_still
from streams import exchange

SESSIONS = 3000


@pytest.mark.parametrize("used", ["never", "once"])
def test_an_idle_session_takes_at_most_1_kib(start_weir, backend, measured, used):
    """`once`: after a message both ways, whose buffers must be back."""
    weir = start_weir(backend)
    # The first session pays for what all share: every receive buffer of the worker is touched once.
    first = weir.pair(backend)
    for _ in range(600):
        exchange(*first)
    before = weir.memory_bytes("Pss")
    for _ in range(SESSIONS):
        client, server = weir.pair(backend)
        if used == "once":
            exchange(client, server)
    after = wait_until_still(lambda: weir.memory_bytes("Pss"), "memory", rounds=3)
    each = (after - before) / SESSIONS
    measured(
        f"PSS {before >> 10} KiB before, {after >> 10} KiB with {SESSIONS} sessions more, "
        f"{each:.0f} bytes each")
    assert each <= 1024
