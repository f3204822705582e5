"""Idle connections through a proxy: whole sessions in tcp mode, kept client connections in http mode."""

import socket
import time

from candidates import SMALL_BODY
from configurations import HOST
from processes import BenchError
from verification import fetch_and_close

MESSAGE = b"ping" * 32
BATCH = 64
DEADLINE_SECONDS = 30


class Sessions:
    """Sessions through a proxy to a backend that only holds them: both ends of each live here."""

    @staticmethod
    def origin(address):
        """Where the proxy finds its origin: here."""
        return "127.0.3.1", address[1]

    def __init__(self, listen, origin):
        self.listen = listen
        self.clients, self.held = [], []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(origin)
        self.listener.listen(4096)
        self.listener.settimeout(DEADLINE_SECONDS)

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

    def open(self, count):
        """Opens sessions in small batches; returns when the backend has accepted all of them."""
        while len(self.clients) < count:
            for _ in range(min(BATCH, count - len(self.clients))):
                client = socket.create_connection(self.listen, timeout=5)
                client.setblocking(False)
                self.clients.append(client)
            self.accept(len(self.clients))

    def accept(self, count):
        while len(self.held) < count:
            try:
                connection = self.listener.accept()[0]
            except TimeoutError:
                raise BenchError(f"of {count} sessions only {len(self.held)} reach the backend") from None
            connection.setblocking(False)
            self.held.append(connection)

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


class KeptConnections:
    """Client connections through a proxy to the origin of the other cells, which answers requests."""

    REQUEST = f"GET /small HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()

    @staticmethod
    def origin(address):
        return address

    def __init__(self, listen, _):
        self.listen = listen
        self.clients = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.close()

    def warm_up(self):
        fetch_and_close(self.listen, "/small")

    def open(self, count):
        """Opens connections in small batches; returns when the proxy has accepted all of them."""
        while len(self.clients) < count:
            for _ in range(min(BATCH, count - len(self.clients))):
                self.clients.append(socket.create_connection(self.listen, timeout=5))
            # It accepts in turn: the answer on a later connection says that it has these.
            fetch_and_close(self.listen, "/small")

    def exchange(self):
        """One request on every connection, its response checked."""
        for client in self.clients:
            client.sendall(self.REQUEST)
            response = b""
            while not response.endswith(SMALL_BODY):
                piece = client.recv(4096)
                response += piece
                if not piece or not response.startswith(b"HTTP/1.1 200 "):
                    raise BenchError(f"an idle connection got a wrong response: {response[:100]!r}")
