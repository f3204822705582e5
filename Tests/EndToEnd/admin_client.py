"""Talks to the admin API: over its unix socket or TCP, well-behaved or octet by octet."""

import http.client
import json
import socket

from deadlines import PATIENCE_SECONDS


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE_SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode()


def ask(address, path, method="GET", headers=None, body=None):
    """One request to `unix:/path` or `host:port`."""
    if address.startswith("unix:"):
        connection = UnixConnection(address[len("unix:"):])
    else:
        connection = http.client.HTTPConnection(address, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, headers=headers or {}, body=body)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def raw(address, octets):
    """Sends octets as they are, and answers all that comes back until the other side closes."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as client:
        client.sendall(octets)
        received = b""
        while piece := client.recv(65536):
            received += piece
        return received
