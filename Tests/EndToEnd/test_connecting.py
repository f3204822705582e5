"""A backend that does not take a session hands it to the next one, each tried at most once."""

import select
import socket
import time

import pytest

from addresses import listen, open_socket, text_of
from streams import Sender, ending_of, exchange, finish


def test_a_refused_connection_goes_to_the_next_backend(start_weir, backend, refusing):
    weir = start_weir(refusing(), backend, refusing(), pool={"health": {"passive": "off"}})
    for _ in range(12):
        exchange(*weir.pair(backend))
    weir.stop()
    sessions = weir.sessions()
    assert len(sessions) == 12
    for session in sessions:
        assert session["backend"] == text_of(backend.getsockname())
        assert 1 <= session["attempts"] <= 3
        assert session.get("cause") == (None if session["attempts"] == 1 else "connect_refused")
    # The rotation begins with each of the three in turn.
    assert sum(session["attempts"] == 1 for session in sessions) == 4


def test_all_backends_down_close_the_client_at_once(start_weir, refusing):
    weir = start_weir(refusing(), refusing(), refusing(), listener={"timeouts": {"connect": "10m"}})
    client = weir.connect()
    assert client.recv(1) == b""
    session = weir.wait_for_session()
    assert (session["reason"], session["cause"]) == ("no_backend", "connect_refused")
    assert session["attempts"] == 3


def test_a_missing_unix_socket_counts_as_refused(start_weir, backend, short_folder):
    weir = start_weir(f"unix:{short_folder}/nobody")
    assert weir.connect().recv(1) == b""
    session = weir.wait_for_session()
    assert (session["reason"], session["cause"]) == ("no_backend", "connect_refused")


@pytest.fixture
def full_unix_backend(short_folder):
    """A unix socket whose queue is full; and what must be accepted before others get in."""
    listener = listen(f"{short_folder}/full", backlog=0)
    filler = open_socket(listener.getsockname())
    filler.connect(listener.getsockname())
    yield listener
    filler.close()
    listener.close()


def test_a_unix_backend_whose_queue_is_full_is_waited_for(start_weir, full_unix_backend):
    weir = start_weir(full_unix_backend)
    client = weir.connect()
    client.sendall(b"hello")
    # It takes no session now, and Weir does not give up.
    assert not select.select([client], [], [], 0.3)[0]
    full_unix_backend.accept()[0].close()
    server = weir.keep(full_unix_backend.accept()[0])
    assert server.recv(5) == b"hello"
    server.close()
    client.close()
    session = weir.wait_for_session()
    assert session["attempts"] == 1 and session["connect_us"] >= 200_000


def test_a_unix_backend_whose_queue_stays_full_times_out(start_weir, backend, full_unix_backend):
    weir = start_weir(full_unix_backend, backend, listener={"timeouts": {"connect": "300ms"}})
    for _ in range(2):
        exchange(*weir.pair(backend))
    weir.stop()
    # The rotation begins with each of the two in turn.
    (slow,) = [session for session in weir.sessions() if session["attempts"] == 2]
    assert slow["cause"] == "timeout_connect"
    assert 300_000 <= slow["total_us"] < 2_000_000


def test_a_connect_that_times_out_goes_to_the_next_backend(start_weir, backend, unanswering):
    weir = start_weir(unanswering(), backend, listener={"timeouts": {"connect": "300ms"}})
    for _ in range(4):
        exchange(*weir.pair(backend))
    weir.stop()
    slow = [session for session in weir.sessions() if session["attempts"] == 2]
    assert len(slow) == 2
    for session in slow:
        assert session["cause"] == "timeout_connect"
        assert session["total_us"] >= 300_000
        assert session["connect_us"] < 300_000


def test_all_backends_silent_end_after_one_timeout_each(start_weir, unanswering):
    weir = start_weir(unanswering(), unanswering(), listener={"timeouts": {"connect": "200ms"}})
    client = weir.connect()
    assert client.recv(1) == b""
    session = weir.wait_for_session()
    assert (session["reason"], session["cause"]) == ("no_backend", "timeout_connect")
    assert session["attempts"] == 2
    assert session["total_us"] >= 400_000


def test_what_the_client_sent_before_the_backend_was_found_arrives(start_weir, backend, unanswering):
    weir = start_weir(unanswering(), backend, listener={"timeouts": {"connect": "300ms"}})
    for _ in range(2):
        client = weir.connect()
        client.sendall(b"early")
        client.shutdown(socket.SHUT_WR)
        server = weir.keep(backend.accept()[0])
        assert server.recv(100) == b"early"
        assert server.recv(100) == b""


def test_a_client_that_leaves_while_a_backend_is_sought_is_no_harm(start_weir, backend, unanswering):
    weir = start_weir(unanswering(), listener={"timeouts": {"connect": "300ms"}})
    for _ in range(3):
        weir.connect().close()
    assert {session["reason"] for session in weir.wait_for_sessions(3)} == {"no_backend"}


def test_an_idle_session_ends_and_both_sides_learn_it(start_weir, backend):
    weir = start_weir(backend, listener={"timeouts": {"idle": "300ms"}})
    client, server = weir.pair(backend)
    exchange(client, server)
    began = time.monotonic()
    assert ending_of(client) in ("fin", "reset")
    assert ending_of(server) in ("fin", "reset")
    assert time.monotonic() - began > 0.2
    assert weir.wait_for_session()["reason"] == "timeout_idle"


def test_a_session_with_traffic_is_not_idle(start_weir, backend):
    weir = start_weir(backend, listener={"timeouts": {"idle": "500ms"}})
    client, server = weir.pair(backend)
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        exchange(client, server)
        # Quiet for less than the timeout.
        pause(0.1)
    client.close()
    server.close()
    assert weir.wait_for_session()["reason"] == "ok"


def test_a_reader_that_is_slow_but_reads_is_not_idle(start_weir, backend, short_folder):
    """Bytes that go out are activity as much as bytes that come in: here 1 MiB is on its way for longer
    than the timeout, while nothing more comes in. A unix socket, for its small buffer."""
    listener = {
        "bind": f"unix:{short_folder}/front", "relay": "splice", "timeouts": {"idle": "600ms"}
    }
    weir = start_weir(backend, listener=listener)
    client, server = weir.pair(backend)
    sender = Sender(server, 1, 2)
    sender.start()
    client.shutdown(socket.SHUT_WR)
    received = 0
    while piece := client.recv(16384):
        received += len(piece)
        # Slow: about 1 MiB in 1.3 s.
        pause(0.02)
    finish(sender)
    assert received == sender.sent_bytes
    assert weir.wait_for_session()["reason"] == "ok"


def pause(seconds):
    """For the behaviours that are about time."""
    select.select([], [], [], seconds)
