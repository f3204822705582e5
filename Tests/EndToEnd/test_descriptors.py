"""Thousands of sessions that come and go leave nothing behind."""

import os

import pytest

from addresses import reset
from deadlines import wait_until
from streams import ending_of

ROUNDS = 5000


def client_first(client, server):
    client.close()
    assert server.recv(1) == b""
    server.close()


def backend_first(client, server):
    server.close()
    assert client.recv(1) == b""
    client.close()


def client_resets(client, server):
    reset(client)
    assert ending_of(server) == "reset"
    server.close()


def backend_resets(client, server):
    reset(server)
    assert ending_of(client) == "reset"
    client.close()


STYLES = [client_first, backend_first, client_resets, backend_resets]


@pytest.mark.parametrize("relay", ["auto", "splice"])
def test_5000_rounds_of_connect_and_close_leave_the_descriptor_count(start_weir, backend, relay):
    weir = start_weir(backend, listener={"relay": relay})

    def rounds(count):
        for index in range(count):
            client, server = weir.connect(), backend.accept()[0]
            weir.sockets.clear()
            server.sendall(b"hello")
            assert client.recv(5) == b"hello"
            STYLES[index % len(STYLES)](client, server)

    # Pipes that were used are kept for the next one.
    rounds(100)
    weir.wait_for_sessions(100)
    before = weir.descriptor_count()
    memory = weir.memory_bytes("Rss")
    rounds(ROUNDS)
    wait_until(lambda: weir.descriptor_count() <= before, f"{before} descriptors again")
    stopped = weir.stop()
    assert stopped["reasons"] == {
        "ok": (ROUNDS + 100) // 2, "client_reset": (ROUNDS + 100) // 4,
        "backend_reset": (ROUNDS + 100) // 4,
    }


def test_sessions_that_find_no_backend_leave_no_descriptor(start_weir, refusing):
    weir = start_weir(refusing(), refusing())
    before = weir.descriptor_count()
    for _ in range(500):
        with weir.connect() as client:
            assert ending_of(client) in ("fin", "reset")
        weir.sockets.clear()
    wait_until(lambda: weir.descriptor_count() <= before, f"{before} descriptors again")
    assert weir.stop()["reasons"] == {"no_backend": 500}
