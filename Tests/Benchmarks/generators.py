"""What makes the load, and the origin that answers it: our own weir-bench at both ends, or wrk with nginx.

A proxy that idles is woken for few requests at a time, and what that costs hides what the proxy itself costs: with wrk
and nginx on the other core Weir used four fifths of its own. weir-bench needs less time, so that the proxy is what
limits. All candidates of a cell have the same; a cell of each mode is repeated with wrk, so that nobody has to believe
ours.
"""

import contextlib
import json
import os
import re
import subprocess
from dataclasses import dataclass, replace

import candidates
from configurations import HOST
from processes import BenchError, Child

# wrk prints rounded figures; its hook has the exact ones.
WRK_REPORT = """\
done = function(summary, latency, requests)
   local e = summary.errors
   io.write(string.format("RESULT %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f\\n",
      summary.duration, summary.requests, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
"""


@dataclass
class Load:
    """What is asked for during one run."""

    seconds: int
    connections: int
    # Bytes of each response, 128 where none are named.
    response_bytes: int | None = None
    # Of the responses, as weir-bench's --mix.
    mix: str = ""
    is_fresh: bool = False
    # Requests a second of an open loop.
    rate: int | None = None
    # Further connections that have one answer before the run, and are silent then.
    silent: int = 0


class Generator:
    """One way to make load. `title` names it in the documentation."""

    title = ""

    def origin(self, bench):
        """The process of the origin."""
        raise NotImplementedError

    def origin_address(self, bench, usual):
        """Where the origin listens, for a run for which nginx would at `usual`."""
        raise NotImplementedError

    def drive(self, bench, load, address, meter):
        """Runs once and returns what was counted between `meter.begin` and `meter.end`."""
        raise NotImplementedError


class Wrk(Generator):
    title = "wrk, nginx as origin"

    def origin(self, bench):
        return bench.origin

    def origin_address(self, bench, usual):
        return usual

    def drive(self, bench, load, address, meter):
        script = os.path.join(bench.directory, "report.lua")
        with open(script, "w") as file:
            file.write(WRK_REPORT)
        command = ["wrk", "-t1", f"-c{load.connections}", f"-d{load.seconds}s", "--timeout", "5s", "-s", script]
        command += ["-H", f"Host: {HOST}", f"http://{candidates.text_of(address)}/small"]
        meter.begin(None)
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=load.seconds + 30)
        except subprocess.TimeoutExpired as error:
            raise BenchError("wrk did not end") from error
        meter.end(None)
        found = re.search(r"^RESULT (.*)$", ran.stdout, re.MULTILINE)
        if not found:
            raise BenchError(f"wrk failed: {ran.stdout[-300:]}{ran.stderr[-300:]}")
        names = ("microseconds", "requests", "bytes", "connect", "read", "write", "status", "timeout", "p50", "p99",
                 "p99_9", "max")
        report = dict(zip(names, map(int, found.group(1).split())))
        errors = {name: report[name] for name in ("connect", "read", "write", "status", "timeout") if report[name]}
        if errors or not report["requests"]:
            raise BenchError(f"wrk saw errors: {errors}, {report['requests']} requests")
        return report


class WeirBench(Generator):
    title = "weir-bench, also as origin"

    def __init__(self):
        self.child = None

    def origin(self, bench):
        if self.child is None:
            # On all addresses: each run has one of its own.
            command = [bench.weir_bench, "origin", "--listen", f"0.0.0.0:{bench.addresses.bench_origin_port}"]
            self.child = Child("weir-bench-origin", command, {bench.cores.load}, bench.directory)
            self.child.wait_until_listening(("127.0.4.1", bench.addresses.bench_origin_port))
        return self.child

    def origin_address(self, bench, usual):
        self.origin(bench)
        return bench.addresses.bench_origin()

    @staticmethod
    def command(bench, load, address):
        command = [bench.weir_bench, "load", "--target", candidates.text_of(address), "--json", "--hold"]
        command += ["--connections", str(load.connections), "--duration", f"{load.seconds}s", "--header", f"Host: {HOST}"]
        size = load.response_bytes
        command += ["--path", "/small" if size is None else f"/small?size={size}"]
        if load.mix:
            command += ["--mix", load.mix]
        else:
            command += ["--response", str(size or len(candidates.SMALL_BODY))]
        if load.is_fresh:
            command.append("--fresh")
        if load.rate:
            command += ["--rate", str(load.rate)]
        return command

    def drive(self, bench, load, address, meter):
        # One request an hour: none but the first.
        silent = replace(load, connections=load.silent, seconds=3600, rate=1 / 3600)
        with contextlib.ExitStack() as ends:
            if load.silent:
                ends.enter_context(self.running(bench, silent, address))
            process = ends.enter_context(self.running(bench, load, address))
            meter.begin(process.pid)
            line = process.stdout.readline()
            meter.end(process.pid)
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired as error:
                raise BenchError("weir-bench did not end") from error
        return self.report_of(line)

    @contextlib.contextmanager
    def running(self, bench, load, address):
        """weir-bench, from when its requests begin."""
        process = subprocess.Popen(self.command(bench, load, address), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        try:
            said = process.stderr.readline()
            if said != "running\n":
                raise BenchError(f"weir-bench failed: {said}{process.stderr.read()[-300:]}")
            yield process
        finally:
            process.kill()
            process.wait()

    @staticmethod
    def report_of(line):
        try:
            report = json.loads(line)
        except ValueError as error:
            raise BenchError(f"weir-bench failed: {line[-300:]}") from error
        if report["error_count"] or report["unfinished"] or not report["answered"]:
            raise BenchError(f"weir-bench saw errors: {report['errors']}, {report['unfinished']} unfinished")
        latency = report["latency_us"]
        return {
            "microseconds": int(report["seconds"] * 1e6), "requests": report["answered"],
            "warmed_up": report["warmed_up"],
            "bytes": report["bytes_received"], **{name: latency[name] for name in ("p50", "p99", "p99_9", "max")},
        }


WRK, WEIR_BENCH = Wrk(), WeirBench()
