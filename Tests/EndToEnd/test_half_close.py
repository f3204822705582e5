"""The truth table of half-close: each side may say first that it has sent all, the other goes on."""

import errno
import fcntl
import os
import select
import socket
import struct
import termios

import pytest

from addresses import reset, reset_on_close
from deadlines import wait_until, wait_until_still
from streams import Receiver, Sender, ending_of, exchange, finish, receive_exactly, receive_to_end

MEBIBYTE = 1 << 20
RELAYS = ["copy", "splice", "auto"]


@pytest.fixture(params=["tcp", "unix"])
def family(request):
    return request.param


@pytest.fixture
def start(start_weir, new_backend, short_folder):
    """A client and a server with Weir between them."""

    def start(relay, family="tcp", **listener):
        if family == "unix":
            backend = new_backend(str(short_folder / "backend"))
            bind = {"bind": f"unix:{short_folder}/front"}
        else:
            backend, bind = new_backend(), {}
        weir = start_weir(backend, listener={"relay": relay, **bind, **listener})
        return (weir, *weir.pair(backend))

    return start


@pytest.mark.parametrize("relay", RELAYS)
def test_client_ends_first_and_the_backend_goes_on_sending(start, relay, family):
    weir, client, server = start(relay, family)
    client.sendall(b"request")
    client.shutdown(socket.SHUT_WR)
    assert receive_to_end(server) == b"request"
    sender, receiver = Sender(server, 1, 3), Receiver(client)
    sender.start(), receiver.start()
    finish(sender, receiver)
    assert receiver.digest.hexdigest() == sender.digest.hexdigest()
    session = weir.wait_for_session()
    assert (session["reason"], session["bytes_in"], session["bytes_out"]) == ("ok", 7, 3 * MEBIBYTE)


@pytest.mark.parametrize("relay", RELAYS)
def test_backend_ends_first_and_the_client_goes_on_sending(start, relay, family):
    weir, client, server = start(relay, family)
    server.sendall(b"greeting")
    server.shutdown(socket.SHUT_WR)
    assert receive_to_end(client) == b"greeting"
    sender, receiver = Sender(client, 1, 3), Receiver(server)
    sender.start(), receiver.start()
    finish(sender, receiver)
    assert receiver.digest.hexdigest() == sender.digest.hexdigest()
    session = weir.wait_for_session()
    assert (session["reason"], session["bytes_in"], session["bytes_out"]) == ("ok", 3 * MEBIBYTE, 8)


@pytest.mark.parametrize("relay", RELAYS)
def test_both_end_at_once(start, relay):
    weir, client, server = start(relay)
    exchange(client, server)
    client.sendall(b"last of the client")
    server.sendall(b"last of the server")
    client.shutdown(socket.SHUT_WR)
    server.shutdown(socket.SHUT_WR)
    assert receive_to_end(client) == b"last of the server"
    assert receive_to_end(server) == b"last of the client"
    assert weir.wait_for_session()["reason"] == "ok"


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("first", ["client", "backend"])
def test_an_end_right_behind_data_that_nobody_reads_yet_arrives_after_it(start, relay, first):
    weir, client, server = start(relay)
    source, sink = (client, server) if first == "client" else (server, client)
    sender = Sender(source, 1, 2)
    sender.start()
    finish(sender)
    # Closed for good before the other side has read a byte.
    source.close()
    receiver = Receiver(sink)
    receiver.start()
    finish(receiver)
    assert receiver.digest.hexdigest() == sender.digest.hexdigest()
    sink.close()
    assert weir.wait_for_session()["reason"] == "ok"


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("first", ["client", "backend"])
def test_no_byte_at_all_and_an_end(start, relay, first):
    weir, client, server = start(relay)
    source, sink = (client, server) if first == "client" else (server, client)
    source.close()
    assert sink.recv(1) == b""
    sink.close()
    session = weir.wait_for_session()
    assert (session["reason"], session["bytes_in"], session["bytes_out"]) == ("ok", 0, 0)


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("first", ["client", "backend"])
def test_reset_in_is_reset_out(start, relay, first):
    weir, client, server = start(relay)
    exchange(client, server)
    source, sink = (client, server) if first == "client" else (server, client)
    reset(source)
    assert ending_of(sink) == "reset"
    assert weir.wait_for_session()["reason"] == f"{first}_reset"


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("first", ["client", "backend"])
def test_reset_in_is_reset_out_while_data_flies_both_ways(start, relay, first):
    weir, client, server = start(relay)
    source, sink = (client, server) if first == "client" else (server, client)
    threads = [Sender(client, 1, 4096), Sender(server, 2, 4096), Receiver(client), Receiver(server)]
    for thread in threads:
        thread.start()
    at_sink = threads[0::2] if sink is client else threads[1::2]
    wait_until(lambda: sum(t.received_bytes for t in threads[2:]) > 40 * MEBIBYTE, "bytes fly")
    reset_on_close(source)
    # Wakes the thread that receives, so that closing takes effect.
    source.shutdown(socket.SHUT_RD)
    os.close(source.detach())
    for thread in at_sink:
        thread.join(30)
        assert not thread.is_alive()
    # The kernel tells of a reset once: to the one who sends or to the one who receives.
    assert any(isinstance(thread.failure, ConnectionResetError) for thread in at_sink)
    assert weir.wait_for_session()["reason"] == f"{first}_reset"
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("first", ["client", "backend"])
def test_a_reset_after_the_other_side_ended_is_passed_on(start, relay, first):
    weir, client, server = start(relay)
    source, sink = (client, server) if first == "client" else (server, client)
    sink.shutdown(socket.SHUT_WR)
    assert source.recv(1) == b""
    source.sendall(b"some")
    assert receive_exactly(sink, 4) == b"some"
    reset(source)
    assert ending_of(sink) == "reset"
    assert weir.wait_for_session()["reason"] == f"{first}_reset"


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("first", ["client", "backend"])
def test_a_reset_behind_data_that_nobody_reads_yet_is_passed_on(start, relay, first):
    weir, client, server = start(relay)
    source, sink = (client, server) if first == "client" else (server, client)
    leave_with_a_reset_in_mid_stream(source)
    assert ending_of(sink) == "reset"
    assert weir.wait_for_session()["reason"] == f"{first}_reset"


def leave_with_a_reset_in_mid_stream(source):
    """When as much is sent as the other side's standing still allows."""
    sender = Sender(source, 1, 256, ends=False)
    sender.start()
    wait_until_still(lambda: sender.sent_bytes, "the sender")
    reset_on_close(source)
    # Ends the thread that waits to send; the connection with it.
    source.shutdown(socket.SHUT_RDWR)
    source.close()
    sender.join(30)


@pytest.mark.parametrize("relay", ["copy", "splice"])
@pytest.mark.parametrize("first", ["client", "backend"])
def test_a_reset_is_passed_on_although_the_other_side_does_not_read(start, relay, first):
    """After the time that last words have, which the idle timeout bounds."""
    weir, client, server = start(relay, timeouts={"idle": "1s"})
    source, sink = (client, server) if first == "client" else (server, client)
    leave_with_a_reset_in_mid_stream(source)
    hung_up = select.poll()
    hung_up.register(sink, select.POLLHUP)
    assert hung_up.poll(5000), "the sink learns of it without reading"
    assert ending_of(sink) == "reset"
    assert weir.wait_for_session()["reason"] == f"{first}_reset"


def bytes_on_the_way(sock):
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"1234"))[0]


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("first", ["client", "backend"])
@pytest.mark.parametrize("answer_bytes", [100, 200_000])
def test_an_early_answer_arrives_whole_and_the_reset_behind_it(start, relay, first, answer_bytes):
    """One side answers and closes with most of what the other sends unread, which is a reset."""
    weir, client, server = start(relay)
    hasty, patient = (client, server) if first == "client" else (server, client)
    sender = Sender(patient, 1, 64)
    sender.start()
    receive_exactly(hasty, 10)
    hasty.sendall(b"x" * answer_bytes)
    # A reset drops what is still in the sender's own buffer.
    wait_until(lambda: bytes_on_the_way(hasty) == 0, "Weir has the answer")
    hasty.close()
    receiver = Receiver(patient)
    receiver.start()
    for thread in (receiver, sender):
        thread.join(30)
        assert not thread.is_alive()
    assert receiver.received_bytes == answer_bytes
    # The kernel tells of a reset once: to the one who sends or to the one who receives.
    assert any(isinstance(thread.failure, ConnectionResetError) for thread in (receiver, sender))
    assert weir.wait_for_session()["reason"] == f"{first}_reset"


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("first", ["client", "backend"])
def test_a_reset_after_an_end_is_noticed_although_nothing_is_sent(start, relay, first):
    weir, client, server = start(relay)
    source, sink = (client, server) if first == "client" else (server, client)
    source.shutdown(socket.SHUT_WR)
    assert sink.recv(1) == b""
    reset(source)
    assert weir.wait_for_session()["reason"] == f"{first}_reset"
    # Behind an end, a reset is told to who sends, not to who reads.
    wait_until(lambda: sink.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE, "the reset")
