"""The cells without load: memory of idle sessions, and the time from start to listening."""

import socket
import time

from processes import BenchError

MESSAGE = b"ping" * 32
BATCH = 64
DEADLINE_SECONDS = 30


class Sessions:
    """Sessions through a proxy to a backend that only holds them: both ends of each live here."""

    def __init__(self, listen, origin):
        self.listen = listen
        self.clients, self.held = [], []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(origin)
        self.listener.listen(4096)
        self.listener.setblocking(False)

    def close(self):
        for each in [*self.clients, *self.held, self.listener]:
            each.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def warm_up(self):
        """One session from beginning to end, so that what a proxy touches only once is not counted."""
        with socket.create_connection(self.listen, timeout=5) as client:
            client.sendall(MESSAGE)
            self.listener.settimeout(5)
            received = b""
            # The probe that found the proxy listening comes through as well, and says nothing.
            while received != MESSAGE:
                with self.listener.accept()[0] as connection:
                    connection.settimeout(5)
                    received = connection.recv(4096)
                    if received:
                        connection.sendall(received)
            if client.recv(4096) != MESSAGE:
                raise BenchError("the first session relayed wrong bytes")
        self.listener.setblocking(False)

    def open(self, count):
        """Opens sessions in small batches; returns when the backend has accepted all of them."""
        while len(self.clients) < count:
            for _ in range(min(BATCH, count - len(self.clients))):
                client = socket.create_connection(self.listen, timeout=5)
                client.setblocking(False)
                self.clients.append(client)
            self.accept(len(self.clients))

    def accept(self, count):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(self.held) < count:
            try:
                connection = self.listener.accept()[0]
                connection.setblocking(False)
                self.held.append(connection)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BenchError(f"of {count} sessions only {len(self.held)} reach the backend") from None
                time.sleep(0.001)

    def exchange(self):
        """One message each way on every session, checked."""
        for senders, receivers in ((self.clients, self.held), (self.held, self.clients)):
            for first in range(0, len(senders), BATCH):
                for sender in senders[first : first + BATCH]:
                    sender.send(MESSAGE)
                # Not all at once: what a burst needs is not what an idle session needs.
                time.sleep(0.005)
            self.receive(receivers)

    def receive(self, receivers):
        for receiver in receivers:
            receiver.settimeout(5)
            try:
                message = receiver.recv(4096)
            except OSError as error:
                raise BenchError(f"an idle session lost its message: {error}") from error
            receiver.setblocking(False)
            if message != MESSAGE:
                raise BenchError(f"an idle session relayed wrong bytes: {len(message)} of {len(MESSAGE)}")


def settled_memory(proxy):
    """Memory once it has stopped to change."""
    last = proxy.memory_bytes()
    for _ in range(10):
        time.sleep(0.2)
        now = proxy.memory_bytes()
        if now == last:
            break
        last = now
    return last


def memory_run(bench, candidate, count):
    """Bytes of memory for each session: opened and silent, and after a message each way."""
    listen, (_, origin_port) = bench.addresses.next()
    origin = ("127.0.3.1", origin_port)
    proxy = candidate.start(bench, listen, origin)
    try:
        with Sessions(listen, origin) as sessions:
            proxy.wait_until_listening(listen)
            sessions.warm_up()
            ground = settled_memory(proxy)
            sessions.open(count)
            silent = settled_memory(proxy) - ground
            sessions.exchange()
            used = settled_memory(proxy) - ground
    finally:
        proxy.stop()
    return {"figure": used / count, "silent": silent / count, "ground_kib": ground / 1024, "quiet": True}


def start_run(bench, candidate):
    """Milliseconds from spawning the program to the first successful connect."""
    listen, origin = bench.addresses.next()
    proxy = candidate.start(bench, listen, origin)
    try:
        return proxy.wait_until_listening(listen) * 1000
    finally:
        proxy.stop()
