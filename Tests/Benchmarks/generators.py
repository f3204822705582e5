"""What makes the load, and the origin that answers it: wrk with nginx, or our own weir-bench at both ends.

A proxy that idles is woken for few requests at a time, and what that costs hides what the proxy itself costs: with wrk
and nginx on the other core Weir used four fifths of its own. weir-bench needs less time, so that the proxy is what
limits. All candidates of a cell have the same; one cell is repeated with wrk, so that nobody has to believe ours.
"""

import json
import os
import re
import subprocess

import candidates
from http_configurations import HOST
from processes import BenchError, Child

# wrk prints rounded figures; its hook has the exact ones.
WRK_REPORT = """\
done = function(summary, latency, requests)
   local e = summary.errors
   io.write(string.format("RESULT %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f\\n",
      summary.duration, summary.requests, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
      latency:percentile(99), latency.max))
end
"""

# What weir-bench's origin answers to every path without a size.
SMALL_BYTES = 128


class Generator:
    """One way to make load. `title` names it in the documentation."""

    title = ""
    # The bytes through the proxy can be compared before each run; otherwise they were before the first one.
    has_usual_origin = True

    def origin(self, bench):
        return bench.origin

    def origin_address(self, bench, usual):
        return usual

    def run(self, bench, command, seconds):
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{self.title} did not end") from error


class Wrk(Generator):
    title = "wrk, nginx as origin"

    def drive(self, bench, cell, address, seconds):
        """Runs once and returns what was counted."""
        script = os.path.join(bench.directory, "report.lua")
        with open(script, "w") as file:
            file.write(WRK_REPORT)
        command = ["wrk", "-t1", f"-c{cell.connections}", f"-d{seconds}s"]
        command += ["--timeout", "5s", "-s", script, "-H", f"Host: {HOST}"] + (["-H", cell.header] if cell.header else [])
        command.append(f"http://{candidates.text_of(address)}{cell.path}")
        ran = self.run(bench, command, seconds)
        found = re.search(r"^RESULT (.*)$", ran.stdout, re.MULTILINE)
        if not found:
            raise BenchError(f"wrk failed: {ran.stdout[-300:]}{ran.stderr[-300:]}")
        names = ("microseconds", "requests", "bytes", "connect", "read", "write", "status", "timeout", "p99", "max")
        report = dict(zip(names, map(int, found.group(1).split())))
        errors = {name: report[name] for name in ("connect", "read", "write", "status", "timeout") if report[name]}
        if errors or not report["requests"]:
            raise BenchError(f"wrk saw errors: {errors}, {report['requests']} requests")
        return report


class WeirBench(Generator):
    title = "weir-bench, also as origin"
    has_usual_origin = False

    def __init__(self):
        self.child = None

    def origin(self, bench):
        if self.child is None:
            address = candidates.text_of(self.origin_address(bench, None))
            command = [bench.weir_bench, "origin", "--listen", address, "--size", str(SMALL_BYTES)]
            self.child = Child("weir-bench-origin", command, bench.cores.load, bench.directory)
            self.child.wait_until_listening(self.origin_address(bench, None))
        return self.child

    def origin_address(self, bench, usual):
        return "127.0.4.1", bench.addresses.origin_port

    def drive(self, bench, cell, address, seconds):
        """Runs once and returns what was counted."""
        command = [bench.weir_bench, "load", "--target", candidates.text_of(address), "--path", cell.path, "--json"]
        command += ["--connections", str(cell.connections), "--duration", f"{seconds}s", "--header", f"Host: {HOST}"]
        command += ["--response", str(SMALL_BYTES)]
        ran = self.run(bench, command, seconds)
        try:
            report = json.loads(ran.stdout)
        except ValueError as error:
            raise BenchError(f"weir-bench failed: {ran.stdout[-300:]}{ran.stderr[-300:]}") from error
        if report["error_count"] or report["unfinished"] or not report["answered"]:
            raise BenchError(f"weir-bench saw errors: {report['errors']}, {report['unfinished']} unfinished")
        latency = report["latency_us"]
        return {
            "microseconds": int(report["seconds"] * 1e6), "requests": report["answered"],
            "bytes": report["bytes_received"], "p99": int(latency["p99"]), "max": int(latency["max"]),
        }


WRK, WEIR_BENCH = Wrk(), WeirBench()
