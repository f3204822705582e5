#!/usr/bin/python3
"""Three nginx behind Weir under wrk, while they are killed, stopped and started again: what do clients notice?

`make chaos` runs it; docs/health.md has the figures of a run. Exit status 1: a request failed although retries were on.
"""

import argparse
import calendar
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

NGINX = """\
{user}daemon off;
worker_processes 1;
pid {folder}/{name}.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "{body}"; }}
    }}
}}
"""

# wrk's own counts, without rounding.
REPORT = """\
done = function(summary, latency, requests)
   local e = summary.errors
   io.write(string.format("RESULT %.0f %.0f %.0f %.0f %.0f %.0f\\n",
      summary.requests, e.connect, e.read, e.write, e.status, e.timeout))
end
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Backend:
    """One nginx: its master and its worker are a process group."""

    def __init__(self, name, folder):
        self.name, self.folder, self.port = name, folder, free_port()
        self.path = os.path.join(folder, f"{name}.conf")
        user = "user root;\n" if os.geteuid() == 0 else ""
        with open(self.path, "w") as file:
            file.write(NGINX.format(user=user, folder=folder, name=name, port=self.port, body="x" * 128))
        self.start()

    def start(self):
        self.process = subprocess.Popen(["nginx", "-c", self.path], stderr=subprocess.DEVNULL, start_new_session=True)
        wait_until_served(self.port)

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()


def configuration(options, port, backends, retries):
    pool = {
        "backends": [{"name": b.name, "address": f"127.0.0.1:{b.port}"} for b in backends],
        "health": {
            "active": {"http": {"path": "/"}, "interval": "500ms", "timeout": "500ms", "fall": 2, "rise": 1},
            "passive": {"consecutive_failures": 3, "eject_for": "30s", "max_ejected": "100%"},
        },
    }
    web = {"bind": f"127.0.0.1:{port}", "mode": "http", "pool": "site", "timeouts": {"connect": "1s", "response_head": "2s"}}
    if retries:
        # A backend that hangs has all requests that are under way soon: a budget of a fifth would let the others fail.
        web["retry"] = {"attempts": 3, "on": ["connect", "reset", "timeout"], "per_try": "500ms", "budget": "100%"}
    return {
        "workers": 1, "engine": options.engine, "logs": {"access": "off", "events": "stderr"},
        "listeners": {"web": web}, "pools": {"site": pool},
    }


class Trouble(threading.Thread):
    """Kills, stops and starts one backend after another; notes when."""

    def __init__(self, backends, seconds, seed):
        super().__init__(daemon=True)
        self.backends, self.until = backends, time.time() + seconds
        self.chance = random.Random(seed)
        #: (time of day, name, what)
        self.deeds = []
        self.failure = None

    def note(self, backend, what):
        self.deeds.append((time.time(), backend.name, what))

    def run(self):
        try:
            turn = 0
            # The last round ends well before the load does.
            while time.time() < self.until - 6:
                backend = self.backends[turn % len(self.backends)]
                self.round(backend, stops=turn % 2 == 1)
                turn += 1
        except Exception as failure:
            self.failure = failure

    def round(self, backend, stops):
        down = 1.5 + self.chance.random() * 1.5
        if stops:
            self.note(backend, "stopped")
            backend.signal(signal.SIGSTOP)
            time.sleep(down)
            backend.signal(signal.SIGCONT)
            self.note(backend, "continued")
        else:
            self.note(backend, "killed")
            backend.kill()
            time.sleep(down)
            backend.start()
            self.note(backend, "started")
        # Until it serves again: two of three must always be well.
        time.sleep(2 + self.chance.random())


def drive(folder, port, seconds):
    script = os.path.join(folder, "report.lua")
    with open(script, "w") as file:
        file.write(REPORT)
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "--timeout", "10s", "-s", script, f"http://127.0.0.1:{port}/"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    found = re.search(r"^RESULT (.*)$", ran.stdout, re.MULTILINE)
    if not found:
        raise RuntimeError(f"wrk failed: {ran.stdout}{ran.stderr}")
    return dict(zip(("requests", "connect", "read", "write", "status", "timeout"), map(int, found.group(1).split())))


def moment(record):
    base, _, fraction = record["time"].rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(base, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction}")


def delays(deeds, events):
    """Milliseconds from each deed to the event that answers it."""
    out, back = {"killed": [], "stopped": []}, {"started": [], "continued": []}
    for at, name, what in deeds:
        leaves = what in out
        for record in events:
            if record.get("event") != "health" or record.get("backend") != name or moment(record) < at:
                continue
            is_out = record["to"] in ("ejected", "unhealthy")
            if is_out == leaves:
                (out if leaves else back)[what].append((moment(record) - at) * 1000)
                break
    return {**out, **back}


def run_once(options, retries):
    with tempfile.TemporaryDirectory(prefix="weir-chaos-") as folder:
        backends = [Backend(name, folder) for name in "abc"]
        port = free_port()
        path = os.path.join(folder, "weir.yaml")
        with open(path, "w") as file:
            json.dump(configuration(options, port, backends, retries), file)
        log_path = os.path.join(folder, "weir.log")
        with open(log_path, "wb") as log:
            weir = subprocess.Popen([options.weir, "run", "-c", path], stderr=log, stdout=log)
        try:
            wait_until_served(port)
            trouble = Trouble(backends, options.seconds, options.seed)
            trouble.start()
            counted = drive(folder, port, options.seconds)
            trouble.join(60)
            if trouble.failure:
                raise trouble.failure
        finally:
            weir.terminate()
            weir.wait(30)
            for backend in backends:
                backend.signal(signal.SIGCONT)
                backend.kill()
        with open(log_path) as log:
            events = [json.loads(line) for line in log if line.startswith("{")]
        return counted, trouble.deeds, delays(trouble.deeds, events), events


def wait_until_served(port):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.005)
    raise RuntimeError(f"nobody listens on port {port}")


def told(retries, counted, deeds, found, events):
    failed = {name: counted[name] for name in ("connect", "read", "write", "status", "timeout")}
    kills = sum(what == "killed" for _, _, what in deeds)
    stops = sum(what == "stopped" for _, _, what in deeds)
    print(f"retries {'on' if retries else 'off'}: {counted['requests']} requests, {kills} kills, {stops} stops,"
          f" failed {sum(failed.values())} {failed}")
    names = {"killed": "killed to out", "stopped": "stopped to out", "started": "started to back",
             "continued": "continued to back"}
    for what, title in names.items():
        if found[what]:
            print(f"  {title}: median {statistics.median(found[what]):.0f} ms, at most {max(found[what]):.0f} ms"
                  f" ({len(found[what])})")
    changes = sum(record.get("event") == "health" for record in events)
    print(f"  {changes} changes of state in the log", flush=True)
    return sum(failed.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", default=os.path.join(ROOT, ".build/release/weir"))
    parser.add_argument("--engine", choices=["io_uring", "epoll"], default="io_uring")
    parser.add_argument("--seconds", type=int, default=120, help="of each run (default: 120)")
    parser.add_argument("--retries", choices=["on", "off", "both"], default="both")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for program in ("nginx", "wrk"):
        if not shutil.which(program):
            sys.exit(f"no {program}: try apt-get install nginx wrk")
    failed = 0
    print(f"engine {options.engine}, {options.seconds} s, 32 connections", flush=True)
    if options.retries in ("on", "both"):
        failed = told(True, *run_once(options, True))
    if options.retries in ("off", "both"):
        told(False, *run_once(options, False))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
