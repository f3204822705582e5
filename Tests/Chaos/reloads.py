#!/usr/bin/python3
"""500 reloads in a minute that change backends, weights, policies and listeners, under wrk, under clients that connect
anew for each request, and under 200 long tcp sessions: who notices, and what is left in memory?

`make reloads` runs it on both engines; docs/reload.md has the figures of a run. Exit status 1: something failed.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from chaos import ROOT, Backend, drive, free_port, wait_until_served

LONG_SESSIONS = 200
POLICIES = ["round_robin", "least_connections", "random", "power_of_two", "peak_ewma", "ip_hash", "adaptive"]
#: Before the first and after the last reload, in seconds.
CALM = 3
#: Growth of resident memory that is nobody's leak: the allocator's, and the history's 16 configurations.
SLACK_BYTES = 4 << 20


# -- Long sessions, in processes of their own


async def echo(reader, writer):
    while piece := await reader.read(4096):
        writer.write(piece)
        await writer.drain()
    writer.close()


def serve_echo(port):
    async def serve():
        async with await asyncio.start_server(echo, "127.0.0.1", port, backlog=1024) as server:
            await server.serve_forever()

    asyncio.run(serve())


async def talk(port, number, is_over, exchanges, failures):
    """One session until it is over: what is sent comes back, in order, to its end."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = 0
        while not is_over.is_set():
            message = b"%06d%010d" % (number, turn)
            writer.write(message)
            if await asyncio.wait_for(reader.readexactly(len(message)), 20) != message:
                raise ValueError("other bytes came back")
            turn += 1
            await asyncio.sleep(0.1)
        writer.write_eof()
        if await asyncio.wait_for(reader.read(), 20):
            raise ValueError("more bytes came back")
        writer.close()
        exchanges[number] = turn
    except (OSError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError) as failure:
        failures.append(f"session {number}: {failure!r}")


def talk_all(port, is_over, result):
    async def all_of_them():
        exchanges, failures = {}, []
        await asyncio.gather(*(talk(port, n, is_over, exchanges, failures) for n in range(LONG_SESSIONS)))
        result.put((len(exchanges), sum(exchanges.values()), failures))

    asyncio.run(all_of_them())


# -- Clients that connect for each request


class NewConnections(threading.Thread):
    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.requests, self.failures, self.is_over = port, 0, [], False

    def run(self):
        while not self.is_over:
            client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                client.request("GET", "/", headers={"Connection": "close"})
                answer = client.getresponse()
                answer.read()
                self.requests += 1
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
            except OSError as failure:
                self.failures.append(repr(failure))
            finally:
                client.close()
            time.sleep(0.005)


# -- Weir


class Weir:
    def __init__(self, program, engine, folder, backends):
        self.folder, self.backends = folder, backends
        self.web, self.long, self.other, self.echo = (free_port() for _ in range(4))
        self.engine = engine
        self.path = os.path.join(folder, "weir.yaml")
        self.log_path = os.path.join(folder, "weir.log")
        self.socket_path = os.path.join(folder, "admin.sock")
        self.write(self.configuration(0))
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([program, "run", "-c", self.path], stdout=log, stderr=log)
        wait_until_served(self.web)
        wait_until_served(self.long)

    def configuration(self, turn):
        chosen = self.backends[:1 + turn % 3] if turn % 2 else self.backends[turn % 3:]
        site = {
            "balance": POLICIES[turn % len(POLICIES)],
            "backends": [
                {"name": b.name, "address": f"127.0.0.1:{b.port}", "weight": 1 + (turn + n) % 5}
                for n, b in enumerate(chosen)
            ],
        }
        listeners = {
            "web": {
                "bind": f"127.0.0.1:{self.web}", "mode": "http", "pool": "site",
                "timeouts": {"idle": f"{300 + turn % 4}s"},
            },
            "long": {"bind": f"127.0.0.1:{self.long}", "pool": "echo", "timeouts": {"idle": f"{600 + turn % 3}s"}},
        }
        if turn % 3 == 1:
            listeners["other"] = {"bind": f"127.0.0.1:{self.other}", "mode": "http", "pool": "site"}
        return {
            "workers": 2, "engine": self.engine, "admin": {"bind": f"unix:{self.socket_path}"},
            "logs": {"access": "off", "events": "stderr"}, "listeners": listeners,
            "pools": {
                "site": site,
                "echo": {"balance": POLICIES[turn % 3], "backends": [f"127.0.0.1:{self.echo}"]},
            },
        }

    def write(self, configuration):
        with open(self.path + ".new", "w") as file:
            json.dump(configuration, file)
        os.replace(self.path + ".new", self.path)

    def reload(self, turn):
        """Answers how long it took, in milliseconds."""
        self.write(self.configuration(turn))
        began = time.monotonic()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(self.socket_path)
            client.sendall(b"POST /lb/reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while piece := client.recv(65536):
                answer += piece
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"a reload was not applied: {answer[-500:]}")
        return (time.monotonic() - began) * 1000

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        with open(self.log_path) as log:
            return [json.loads(line) for line in log]


# -- The run


def reload_often(weir, count, seconds):
    """Spread evenly over the time."""
    took = []
    began = time.monotonic()
    for turn in range(1, count + 1):
        time.sleep(max(0, began + turn * seconds / count - time.monotonic()))
        took.append(weir.reload(turn))
    return took, time.monotonic() - began


def run_once(options, engine):
    with tempfile.TemporaryDirectory(prefix="weir-reloads-") as folder:
        backends = [Backend(name, folder) for name in "abc"]
        weir = Weir(options.weir, engine, folder, backends)
        context = multiprocessing.get_context("fork")
        echoing = context.Process(target=serve_echo, args=[weir.echo], daemon=True)
        echoing.start()
        wait_until_served(weir.echo)
        is_over, result = context.Event(), context.Queue()
        talking = context.Process(target=talk_all, args=[weir.long, is_over, result], daemon=True)
        talking.start()
        counted = {}
        load = threading.Thread(
            target=lambda: counted.update(drive(folder, weir.web, options.seconds + 2 * CALM + 1)), daemon=True)
        connecting = NewConnections(weir.web)
        try:
            load.start()
            connecting.start()
            time.sleep(CALM)
            before = weir.resident_bytes(), weir.descriptors()
            took, seconds = reload_often(weir, options.reloads, options.seconds)
            time.sleep(CALM)
            after = weir.resident_bytes(), weir.descriptors()
            load.join(60)
            connecting.is_over = True
            connecting.join(60)
            is_over.set()
            sessions = result.get(timeout=60)
        finally:
            events = weir.stop()
            echoing.terminate()
            for backend in backends:
                backend.kill()
        return told(options, engine, took, seconds, counted, connecting, sessions, before, after, events)


def told(options, engine, took, seconds, counted, connecting, sessions, before, after, events):
    """Prints what happened; answers what went wrong."""
    wrong = []
    failed = {name: counted[name] for name in ("connect", "read", "write", "status", "timeout")}
    if any(failed.values()):
        wrong.append(f"requests failed: {failed}")
    if connecting.failures:
        wrong.append(f"new connections: {connecting.failures[:5]}")
    whole, exchanges, broken = sessions
    if broken or whole != LONG_SESSIONS:
        wrong.append(f"long sessions: {whole} whole, {broken[:5]}")
    reloaded = sum(event["event"] == "reloaded" for event in events)
    if reloaded != options.reloads:
        wrong.append(f"{reloaded} reloads in the log")
    wrong += [str(event) for event in events if event["level"] == "error"]
    growth = after[0] - before[0]
    if growth > SLACK_BYTES:
        wrong.append(f"{growth >> 10} KiB more memory")
    print(f"{engine}: {len(took)} reloads in {seconds:.1f} s,"
          f" each {statistics.median(took):.1f} ms (median), {sorted(took)[len(took) * 99 // 100]:.1f} ms (99%),"
          f" {max(took):.1f} ms (longest)")
    print(f"  wrk: {counted['requests']} requests, {sum(failed.values())} failed;"
          f" new connections: {connecting.requests}, {len(connecting.failures)} failed")
    print(f"  long sessions: {whole} of {LONG_SESSIONS} whole, {exchanges} exchanges")
    print(f"  resident: {before[0] >> 10} KiB before, {after[0] >> 10} KiB after;"
          f" descriptors: {before[1]} before, {after[1]} after")
    for what in wrong:
        print(f"  WRONG: {what}")
    sys.stdout.flush()
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", default=os.path.join(ROOT, ".build/release/weir"))
    parser.add_argument("--engine", choices=["io_uring", "epoll", "both"], default="both")
    parser.add_argument("--seconds", type=int, default=60, help="over which the reloads are spread (default: 60)")
    parser.add_argument("--reloads", type=int, default=500)
    options = parser.parse_args()
    for program in ("nginx", "wrk"):
        if not shutil.which(program):
            sys.exit(f"no {program}: try apt-get install nginx wrk")
    engines = ["io_uring", "epoll"] if options.engine == "both" else [options.engine]
    return 1 if [wrong for engine in engines for wrong in run_once(options, engine)] else 0


if __name__ == "__main__":
    sys.exit(main())
