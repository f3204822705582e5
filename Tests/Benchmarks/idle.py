"""The cells without load: memory of idle connections, and the time from start to listening."""

import time
from dataclasses import dataclass

from sessions import KeptConnections, Sessions


@dataclass
class Cell:
    key: str
    title: str
    # What is open, and what happened on each before it was idle.
    noun: str
    use: str
    contestants: tuple
    # Who opens them.
    sessions: type
    limit_bytes: int


CELLS = {
    cell.key: cell
    for cell in (
        Cell("idle", "idle memory", "session", "a message each way",
             ("weir", "haproxy", "nginx", "weir-epoll"), Sessions, 512),
        Cell("idle-http", "http, idle memory of kept client connections", "connection", "one request",
             ("http-weir", "http-haproxy", "http-nginx", "http-weir-epoll"), KeptConnections, 512),
    )
}


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


def memory_run(bench, cell, candidate, count):
    """Bytes of memory for each connection: opened and silent, and idle after it was used."""
    listen, origin = bench.addresses.next()
    origin = cell.sessions.origin(origin)
    proxy = candidate.start(bench, listen, origin)
    try:
        with cell.sessions(listen, origin) as sessions:
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
