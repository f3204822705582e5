"""Much data at once: byte-exact, on every way to move it, in bounded memory."""

import fcntl
import hashlib
import select
import socket
import sys
import termios
import time

import pytest

from deadlines import wait_until, wait_until_still
from streams import Receiver, Sender, block, exchange, finish, receive_exactly

MEBIBYTE = 1 << 20


@pytest.mark.parametrize("relay", ["copy", "splice", "auto"])
def test_256_mib_both_ways_are_byte_exact_with_a_slow_reader(
    start_weir, backend, relay, measured
):
    weir = start_weir(backend, listener={"relay": relay})
    before = weir.memory_bytes("Rss")
    client, server = weir.pair(backend, receive_buffer=256 * 1024)
    up = Sender(client, 1, 256)
    down = Sender(server, 2, 256)
    # The client stands still three times; the backend reads as fast as it can.
    at_client = Receiver(client, pause_at=[0, 40 * MEBIBYTE, 150 * MEBIBYTE])
    at_server = Receiver(server)
    most = 0
    for thread in (up, down, at_client, at_server):
        thread.start()
    for _ in range(3):
        wait_until(lambda: at_client.is_paused, "the reader pauses")
        # The other way goes on to its end or to its own full buffers meanwhile.
        wait_until_still(lambda: (down.sent_bytes, up.sent_bytes), "what the reader holds up")
        held = down.sent_bytes - at_client.received_bytes
        most = max(most, weir.memory_bytes("Rss"))
        at_client.go_on()
        wait_until(lambda: not at_client.is_paused, "the reader goes on")
    assert up.is_alive() or up.sent_bytes == 256 * MEBIBYTE
    finish(up, down, at_client, at_server)
    assert at_server.digest.hexdigest() == up.digest.hexdigest()
    assert at_client.digest.hexdigest() == down.digest.hexdigest()
    assert at_server.received_bytes == at_client.received_bytes == 256 * MEBIBYTE
    session = weir.wait_for_session()
    assert session["reason"] == "ok"
    assert session["bytes_in"] == session["bytes_out"] == 256 * MEBIBYTE
    measured(
        f"RSS {before >> 10} KiB idle, {most >> 10} KiB while the reader stands still "
        f"({held >> 10} KiB then held between the ends, the kernel's buffers included)")
    assert most - before < 12 * MEBIBYTE


@pytest.mark.parametrize("relay", ["copy", "splice"])
def test_a_stalled_reader_holds_up_its_sender_and_nobody_else(start_weir, backend, relay):
    weir = start_weir(backend, listener={"relay": relay})
    client, server = weir.pair(backend)
    sender = Sender(server, 3, 256)
    sender.start()
    wait_until_still(lambda: sender.sent_bytes, "the sender")
    assert sender.sent_bytes < 200 * MEBIBYTE
    busy = weir.cpu_seconds()
    other_client, other_server = weir.pair(backend)
    for index in range(100):
        other_client.sendall(b"%d" % index)
        assert other_server.recv(10) == b"%d" % index
    # Waiting for a reader is no spin.
    assert weir.cpu_seconds() - busy < 0.5
    # The stalled direction does not hold up its own opposite either.
    client.sendall(b"still here")
    assert server.recv(100) == b"still here"


def test_bulk_that_turns_quiet_and_bulk_again_stays_byte_exact(start_weir, backend):
    weir = start_weir(backend)
    client, server = weir.pair(backend)
    for stream in range(8):
        ends = stream == 7
        sender = Sender(server, stream, 3, ends=False)
        sender.start()
        for index in range(3):
            expected = block(stream, index)
            assert receive_exactly(client, len(expected)) == expected
        finish(sender)
        for index in range(50):
            client.sendall(b"q%d" % index)
            assert server.recv(10) == b"q%d" % index
            server.sendall(b"a%d" % index)
            assert client.recv(10) == b"a%d" % index
        if ends:
            server.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
            client.shutdown(socket.SHUT_WR)
            assert server.recv(1) == b""
    assert weir.wait_for_session()["reason"] == "ok"


@pytest.mark.parametrize("buffer_size", ["16KiB", "1MiB"])
def test_bulk_is_spliced_whatever_the_size_of_the_buffers(
    start_weir, backend, short_folder, buffer_size
):
    """Over a unix socket, which never holds as much as 1 MiB."""
    weir = start_weir(
        backend, listener={"bind": f"unix:{short_folder}/front"},
        limits={"buffer_size": buffer_size, "buffers": 64})
    client, server = weir.pair(backend)
    sender, receiver = Sender(client, 1, 128), Receiver(server, pause_at=[0])
    sender.start()
    receiver.start()
    wait_until_still(lambda: sender.sent_bytes, "what the reader holds up")
    receiver.go_on()
    finish(sender, receiver)
    # A pipe that was used stays open for a while.
    assert weir.pipe_end_count() >= 2


def test_fewer_buffers_than_sessions_stall_nobody_for_good(start_weir, backend):
    """16 receive buffers, 64 sessions that want them, and clients that do not read for a while."""
    weir = start_weir(backend, limits={"buffers": 16}, listener={"relay": "copy"})
    check_64_slow_readers(weir, backend)


def test_few_buffers_and_splice_stall_nobody_for_good(start_weir, backend):
    weir = start_weir(backend, limits={"buffers": 16}, listener={"relay": "auto"})
    check_64_slow_readers(weir, backend)


def check_64_slow_readers(weir, backend):
    sessions, blocks = 64, 4
    pairs = [weir.pair(backend, receive_buffer=65536) for _ in range(sessions)]
    senders = []
    for stream, (_, server) in enumerate(pairs):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        senders.append(Sender(server, stream, blocks))
    for sender in senders:
        sender.start()
    wait_until_still(lambda: sum(sender.sent_bytes for sender in senders), "the senders")
    # Now all clients read, a piece of each in turn.
    digests = {client: hashlib.sha256() for client, _ in pairs}
    reading = {client.fileno(): client for client, _ in pairs}
    while reading:
        readable, _, _ = select.select(list(reading), [], [], 30)
        assert readable, f"{len(reading)} sessions stall"
        for descriptor in readable:
            client = reading[descriptor]
            piece = client.recv(32768)
            if piece:
                digests[client].update(piece)
            else:
                del reading[descriptor]
    finish(*senders)
    for (client, _), sender in zip(pairs, senders):
        assert digests[client].hexdigest() == sender.digest.hexdigest()
    for client, server in pairs:
        client.close()
        server.close()
    for session in weir.wait_for_sessions(sessions):
        assert session["reason"] == "ok"
        assert session["bytes_out"] == blocks * MEBIBYTE



def test_bulk_readers_that_stand_still_leave_buffers_to_the_others(start_weir, backend):
    """More of them than there are buffers: what they are owed waits in pipes and in the kernel."""
    weir = start_weir(backend, limits={"buffers": 16})
    senders = []
    for stream in range(24):
        client, server = weir.pair(backend, receive_buffer=4096)
        senders.append(Sender(server, stream, 64))
        senders[-1].start()
    wait_until_still(lambda: sum(sender.sent_bytes for sender in senders), "the senders")
    client, server = weir.pair(backend)
    for _ in range(100):
        exchange(client, server)


def test_subscribers_that_stand_still_leave_buffers_to_the_others(start_weir, new_backend, short_folder):
    """Messages too small for a pipe, to clients that never read; unix sockets, for their small buffers."""
    backend = new_backend(str(short_folder / "backend"))
    weir = start_weir(
        backend, limits={"buffers": 16}, listener={"bind": f"unix:{short_folder}/front"})
    for _ in range(8):
        publish_until_stuck(weir.pair(backend)[1])
    client, server = weir.pair(backend)
    client.settimeout(2)
    server.settimeout(2)
    for _ in range(100):
        exchange(client, server)


def publish_until_stuck(server):
    """Sends message by message, each when the one before has been taken, until one is not."""
    message = bytes(8000)
    unsent = bytearray(4)
    while True:
        server.sendall(message)
        deadline = time.monotonic() + 0.1
        while True:
            fcntl.ioctl(server, termios.TIOCOUTQ, unsent)
            if int.from_bytes(unsent, sys.byteorder) == 0:
                break
            if time.monotonic() > deadline:
                return
