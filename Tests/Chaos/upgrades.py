#!/usr/bin/python3
"""Upgrades in a row under wrk, new connections and long tcp sessions: does anybody notice?

`make upgrades` runs it on both engines; docs/upgrade.md has the figures of a run. Exit status 1: a request failed, a
client was refused, or a session broke.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from chaos import ROOT, Backend, drive, free_port, wait_until_served

#: Between two messages of a long session.
PAUSE_SECONDS = 0.2


class LongSessions(threading.Thread):
    """An echo server, and clients that keep one connection each and check every octet."""

    def __init__(self, count, front):
        super().__init__(daemon=True)
        self.count, self.front, self.port = count, front, free_port()
        self.messages, self.broken = 0, []
        self.open = 0
        self.is_over = False
        self.listens, self.may_connect = threading.Event(), threading.Event()

    def run(self):
        asyncio.run(self.main())

    async def main(self):
        server = await asyncio.start_server(self.echo, "127.0.0.1", self.port)
        self.listens.set()
        await asyncio.to_thread(self.may_connect.wait)
        await asyncio.gather(*(self.client(number) for number in range(self.count)))
        server.close()

    async def echo(self, reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def client(self, number):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.front)
            turn = 0
            while not self.is_over:
                message = b"%08d %08d " % (number, turn) + bytes(range(256))
                writer.write(message)
                assert await asyncio.wait_for(reader.readexactly(len(message)), 10) == message
                if turn == 0:
                    self.open += 1
                turn += 1
                self.messages += 1
                await asyncio.sleep(PAUSE_SECONDS)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        except Exception as failure:
            self.broken.append(f"session {number}: {failure!r}")


class NewConnections(threading.Thread):
    """Connects, asks once, and connects anew."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.served, self.failures, self.is_over = port, 0, [], False
        self.longest_seconds = 0

    def run(self):
        request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        while not self.is_over:
            began = time.monotonic()
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
                    client.sendall(request)
                    answer = b""
                    while piece := client.recv(65536):
                        answer += piece
                assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"x" * 128), answer[:80]
                self.served += 1
                self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
            except (OSError, AssertionError) as failure:
                self.failures.append(repr(failure))


def configuration(engine, folder, ports, site, long):
    return {
        "workers": 2, "engine": engine, "admin": {"bind": f"unix:{folder}/admin"},
        "logs": {"access": "off", "events": f"{folder}/events.log"},
        "listeners": {
            "web": {"bind": f"127.0.0.1:{ports[0]}", "mode": "http", "pool": "site"},
            "long": {"bind": f"127.0.0.1:{ports[1]}", "pool": "long"},
        },
        "pools": {
            "site": {"backends": [f"127.0.0.1:{backend.port}" for backend in site]},
            "long": {"backends": [f"127.0.0.1:{long.port}"]},
        },
    }


def events(folder, name):
    with open(os.path.join(folder, "events.log")) as log:
        return [event for event in map(json.loads, log) if event["event"] == name]


def upgrade(options, folder):
    """Milliseconds until the new process serves."""
    began = time.monotonic()
    done = subprocess.run(
        [options.weir, "upgrade", "--no-wait", "--admin", f"unix:{folder}/admin"],
        capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"an upgrade failed: {done.stderr}")
    return (time.monotonic() - began) * 1000


def run_once(options, engine):
    """What was noticed, in words; empty where nothing was."""
    with tempfile.TemporaryDirectory(prefix="weir-upgrades-") as folder:
        site = [Backend(name, folder) for name in "ab"]
        ports = [free_port(), free_port()]
        long = LongSessions(options.sessions, ports[1])
        long.start()
        long.listens.wait(10)
        path = os.path.join(folder, "weir.yaml")
        with open(path, "w") as file:
            json.dump(configuration(engine, folder, ports, site, long), file)
        first = subprocess.Popen([options.weir, "run", "-c", path])
        try:
            for port in ports:
                wait_until_served(port)
            long.may_connect.set()
            until(lambda: long.open == options.sessions or long.broken, "long sessions to be open")
            new = [NewConnections(ports[0]) for _ in range(2)]
            for thread in new:
                thread.start()
            seconds = int(options.upgrades * options.pause) + 6
            load = {}
            driver = threading.Thread(target=lambda: load.update(drive(folder, ports[0], seconds)))
            driver.start()
            time.sleep(2)
            taken = []
            for _ in range(options.upgrades):
                taken.append(upgrade(options, folder))
                time.sleep(options.pause - taken[-1] / 1000 if taken[-1] < options.pause * 1000 else 0)
            driver.join(seconds + 120)
            for thread in new:
                thread.is_over = True
                thread.join(30)
            long.is_over = True
            long.join(60)
            upgraded = events(folder, "upgraded")
            os.kill(upgraded[-1]["successor"], signal.SIGTERM)
            until(lambda: len(events(folder, "stopped")) == options.upgrades + 1, "all processes to end")
            first.wait(30)
        finally:
            for event in events(folder, "starting"):
                try:
                    os.kill(event["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    pass
            for backend in site:
                backend.kill()
        return told(engine, load, new, long, taken, events(folder, "stopped"))


def until(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(0.01)


def told(engine, load, new, long, taken, stopped):
    failed = {name: load[name] for name in ("connect", "read", "write", "status", "timeout")}
    served = sum(thread.served for thread in new)
    refused = [failure for thread in new for failure in thread.failures]
    print(f"{engine}: {len(taken)} upgrades, each {statistics.median(taken):.0f} ms (median; at most"
          f" {max(taken):.0f} ms) from the command to its answer")
    print(f"  wrk, kept connections: {load['requests']} requests, failed {sum(failed.values())} {failed}")
    longest = max(thread.longest_seconds for thread in new)
    print(f"  a connection for each request: {served} requests, failed {len(refused)} {refused[:3]}, the longest took"
          f" {longest * 1000:.0f} ms")
    print(f"  {long.count} tcp sessions: {long.messages} messages there and back, broken {len(long.broken)}"
          f" {long.broken[:3]}")
    lost = sum(event["accepted"] - event["sessions"] for event in stopped)
    odd = {}
    for event in stopped:
        for reason, count in event["reasons"].items():
            odd[reason] = odd.get(reason, 0) + count
    print(f"  {len(stopped)} processes, sessions by reason {odd}, refused {sum(e['refused'] for e in stopped)}",
          flush=True)
    return sum(failed.values()) + len(refused) + len(long.broken) + lost


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", default=os.path.join(ROOT, ".build/release/weir"))
    parser.add_argument("--engine", choices=["io_uring", "epoll", "both"], default="both")
    parser.add_argument("--upgrades", type=int, default=20)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds from one to the next (default: 1)")
    parser.add_argument("--sessions", type=int, default=200, help="long tcp sessions (default: 200)")
    options = parser.parse_args()
    for program in ("nginx", "wrk"):
        if not shutil.which(program):
            sys.exit(f"no {program}: try apt-get install nginx wrk")
    engines = ["io_uring", "epoll"] if options.engine == "both" else [options.engine]
    return 1 if sum(run_once(options, engine) for engine in engines) else 0


if __name__ == "__main__":
    sys.exit(main())
