"""Backends made of threads, for tests that need many sessions and look at none of them closely."""

import socket
import threading

from addresses import listen


class Server:
    """Calls `serve(connection)` for each connection, each in a thread of its own; closes it afterwards."""

    def __init__(self, address, serve):
        self.listener = listen(address)
        self.accepted = 0
        self._serve = serve
        self._open = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._run, args=[connection], daemon=True).start()

    def _run(self, connection):
        with self._lock:
            self._open.add(connection)
        try:
            self._serve(connection)
        except OSError:
            # The client went away; what that means is the client's test's to say.
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def echo(connection):
    while chunk := connection.recv(1 << 16):
        connection.sendall(chunk)


def greet_with(name):
    """Speaks first, and says no more than its name."""

    def serve(connection):
        connection.sendall(name.encode())
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    return serve
