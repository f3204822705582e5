"""Bytes through sockets: a stream that can be checked wherever it is cut, and how a connection ended."""

import hashlib
import random
import socket
import threading

BLOCK_BYTES = 1 << 20
_noise = random.Random(20).randbytes(BLOCK_BYTES)


def block(stream, index):
    """One block of a stream; no two blocks of any two streams are alike."""
    return stream.to_bytes(8, "big") + index.to_bytes(8, "big") + _noise[16:]


class Sender(threading.Thread):
    """Sends `block_count` blocks of a stream, then says that it is done (unless `ends` is false)."""

    def __init__(self, sock, stream, block_count, ends=True):
        super().__init__(daemon=True)
        self.sock, self.stream, self.block_count, self.ends = sock, stream, block_count, ends
        self.sent_bytes = 0
        self.digest = hashlib.sha256()
        self.failure = None

    def run(self):
        try:
            for index in range(self.block_count):
                view = memoryview(block(self.stream, index))
                self.digest.update(view)
                while view:
                    count = self.sock.send(view)
                    self.sent_bytes += count
                    view = view[count:]
            if self.ends:
                self.sock.shutdown(socket.SHUT_WR)
        except OSError as failure:
            self.failure = failure


class Receiver(threading.Thread):
    """Receives to the end. `pause_at` (bytes) makes it a slow reader: it stops there until `go_on`."""

    def __init__(self, sock, pause_at=()):
        super().__init__(daemon=True)
        self.sock = sock
        self.pauses = list(pause_at)
        self.received_bytes = 0
        self.digest = hashlib.sha256()
        self.failure = None
        self.is_paused = False
        self._released = threading.Semaphore(0)

    def go_on(self):
        self._released.release()

    def run(self):
        buffer = bytearray(256 * 1024)
        view = memoryview(buffer)
        try:
            while True:
                if self.pauses and self.received_bytes >= self.pauses[0]:
                    self.pauses.pop(0)
                    self.is_paused = True
                    self._released.acquire()
                    self.is_paused = False
                count = self.sock.recv_into(view)
                if count == 0:
                    return
                self.digest.update(view[:count])
                self.received_bytes += count
        except OSError as failure:
            self.failure = failure


def finish(*threads, seconds=60):
    """Joins; fails where a thread does not end or met an error."""
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive(), "a stream does not end"
        assert thread.failure is None, repr(thread.failure)


def receive_exactly(sock, count):
    received = bytearray()
    while len(received) < count:
        chunk = sock.recv(count - len(received))
        assert chunk, f"the stream ended after {len(received)} of {count} bytes"
        received += chunk
    return bytes(received)


def receive_to_end(sock):
    """All that comes until the other side says that it is done. A reset raises ConnectionResetError."""
    chunks = []
    while chunk := sock.recv(1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)


def ending_of(sock):
    """How the connection ends, whatever comes before: `fin` or `reset`."""
    try:
        receive_to_end(sock)
        return "fin"
    except (ConnectionResetError, BrokenPipeError):
        return "reset"


def exchange(client, server, message=b"ping"):
    """A message one way and back: the session works."""
    client.sendall(message)
    assert receive_exactly(server, len(message)) == message
    server.sendall(message[::-1])
    assert receive_exactly(client, len(message)) == message[::-1]
