"""Free ports and short-lived listening sockets, loopback only."""

import itertools
import os
import random
import socket
import struct

# Below the kernel's own choice of ports, so that no outgoing connection takes one in the meantime.
_PORTS = iter(random.sample(range(12000, 32000), 20000))
_abstract_names = itertools.count()


def free_port(host="127.0.0.1"):
    """A port that nobody has now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in _PORTS:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port left")


def abstract_name():
    """A name in the abstract namespace of unix sockets, without its leading mark."""
    return f"weir-e2e-{os.getpid()}-{next(_abstract_names)}"


def text_of(address):
    """As a configuration says it: of a (host, port) pair, or of a unix socket's path."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_socket(address):
    if isinstance(address, str):
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    return socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)


def listen(address, backlog=1024):
    """A listening socket."""
    listener = open_socket(address)
    if not isinstance(address, str):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(backlog)
    return listener


def reset_on_close(sock):
    """close() sends RST instead of FIN (socket(7), SO_LINGER)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset(sock):
    reset_on_close(sock)
    sock.close()
