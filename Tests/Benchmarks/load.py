"""The cells with a load: CPU time of a proxy for each request, connection or MiB."""

import os
import time
from dataclasses import dataclass

from generators import WEIR_BENCH, WRK, Generator
from processes import BenchError, busy_seconds, own_seconds, say, wait_for_time_wait
from verification import WrongBytes, check_access_log, forget_access_log, verify

MEBIBYTE = 1 << 20

# A run is taken again where others used this much of the two cores, or where the proxy was ready to run
# but waited this long for its core; both as a share of the run.
FOREIGN_LIMIT = 0.12
WAIT_LIMIT = 0.04
ATTEMPTS = 4

@dataclass
class Cell:
    key: str
    title: str
    unit: str
    path: str
    connections: int
    # The first one is compared with each of the others.
    contestants: tuple
    header: str = ""
    # Another than the usual one: the cell is left out where it cannot be had.
    congestion_control: str | None = None
    generator: Generator = WRK

    def units(self, report):
        return report["bytes"] / MEBIBYTE if self.unit == "MiB" else report["requests"]


BULK_CONTESTANTS = ("weir", "haproxy-splice", "haproxy", "nginx", "weir-epoll")

CELLS = {
    cell.key: cell
    for cell in (
        Cell("small", "small, kept: 128-byte responses, 64 kept connections", "request", "/small", 64,
             ("weir", "haproxy", "nginx", "weir-epoll")),
        Cell("bulk", "bulk: 1 MiB responses, 16 kept connections", "MiB", "/bulk", 16,
             BULK_CONTESTANTS),
        Cell("bulk-bbr", "bulk under bbr, without a target: 1 MiB responses, 16 kept connections", "MiB",
             "/bulk", 16, BULK_CONTESTANTS, congestion_control="bbr"),
        Cell("fresh", "fresh: a new connection for each 128-byte response, 64 at a time", "connection", "/small", 64,
             ("weir", "haproxy", "nginx", "weir-epoll"), header="Connection: close"),
        Cell("http-small", "http, small: 128-byte responses, 64 kept connections", "request", "/small", 64,
             ("http-weir", "http-haproxy", "http-nginx", "http-weir-epoll"), generator=WEIR_BENCH),
        Cell("http-small-wrk", "http, small, as http-small, driven by wrk with nginx as origin", "request", "/small",
             64, ("http-weir", "http-haproxy", "http-nginx")),
        Cell("http-log", "http, access log: as http-small-wrk, with and without a record of each request", "request",
             "/small", 64, ("http-weir-log", "http-weir")),
        Cell("http-bulk", "http, bulk: 1 MiB responses, 16 kept connections", "MiB", "/bulk", 16,
             ("http-weir", "http-haproxy-splice", "http-nginx", "http-weir-epoll")),
        Cell("http-routes", "http, routes: as http-small-wrk, each request taken by the last of 1,000 routes and of 10",
             "request", "/small", 64, ("http-weir-routes-1000", "http-weir-routes-10")),
    )
}


def measure(bench, cell, candidate, seconds):
    """One run: start, verify, load, stop. Raises BenchError where the run is worth nothing."""
    if cell.header:
        wait_for_time_wait()
    listen, origin = bench.addresses.next()
    forget_access_log(bench)
    generator = cell.generator
    proxy = candidate.start(bench, listen, generator.origin_address(bench, origin))
    try:
        proxy.wait_until_listening(listen)
        if generator.has_usual_origin:
            verify(bench, candidate, listen)
        began, busy, own = time.monotonic(), busy_seconds(bench.cores), own_seconds()
        proxy_before, origin_before = proxy.usage(), generator.origin(bench).usage()
        report = generator.drive(bench, cell, listen, seconds)
        proxy_after, origin_after = proxy.usage(), generator.origin(bench).usage()
        elapsed = time.monotonic() - began
        busy, own = busy_seconds(bench.cores) - busy, own_seconds() - own
    finally:
        status = proxy.stop()
    if proxy_before.processes != proxy_after.processes:
        raise BenchError(f"{candidate.title}: a process ended or began during the run:\n{proxy.log()[-2000:]}")
    if status is None:
        bench.warn(f"{candidate.title}, {cell.key}: did not end within 3 s of SIGTERM")
    elif status != 0 and candidate.program == "weir":
        bench.warn(f"{candidate.title}, {cell.key}: exit status {status}: {proxy.log()[-500:]}")
    if candidate.is_logging:
        check_access_log(bench, candidate, report["requests"])
    used, origin_used = proxy_after - proxy_before, origin_after - origin_before
    foreign = busy - own - (used.nanoseconds + origin_used.nanoseconds) / 1e9
    return figures(bench, cell, candidate, report, used, elapsed, foreign)


def figures(bench, cell, candidate, report, used, elapsed, foreign):
    units = cell.units(report)
    microseconds = used.nanoseconds / 1000 / units
    ticks = max(used.user_ticks + used.system_ticks, 1)
    from_stat = ticks * 1e6 / os.sysconf("SC_CLK_TCK") / units
    run = {
        "figure": microseconds,
        "user": microseconds * used.user_ticks / ticks,
        "system": microseconds * used.system_ticks / ticks,
        "from_stat": from_stat,
        "from_schedstat": used.schedstat_nanoseconds / 1000 / units,
        "units_per_second": units * 1e6 / report["microseconds"],
        "core_share": used.nanoseconds / 1e9 / elapsed,
        "p99_us": report["p99"],
        "max_us": report["max"],
        "foreign": foreign / elapsed,
        "waited": used.wait_nanoseconds / 1e9 / elapsed,
    }
    if abs(from_stat - microseconds) > 0.03 * microseconds + 3e4 / units:
        bench.warn(
            f"{candidate.title}, {cell.key}: the scheduler says {microseconds:.2f} us/{cell.unit},"
            f" /proc/PID/stat {from_stat:.2f}"
        )
    if report["max"] > 1_000_000:
        bench.warn(f"{candidate.title}, {cell.key}: a response took {report['max'] / 1e6:.1f} s")
    return run


def disturbance(run):
    return run["foreign"] + run["waited"]


def quiet(run):
    return run["foreign"] <= FOREIGN_LIMIT and run["waited"] <= WAIT_LIMIT


class Patience:
    """Runs that may be taken on top of the planned ones, so that a busy machine at most doubles the time."""

    def __init__(self, runs):
        self.left = runs

    def spend(self, runs=1):
        """True, and fewer left, where there are that many."""
        if self.left < runs:
            return False
        self.left -= runs
        return True


def wait_for_quiet(bench, within_seconds=6):
    """Gives others on the machine a moment to finish: cheaper than a run that has to be thrown away."""
    deadline = time.monotonic() + within_seconds
    while not bench.quick and time.monotonic() < deadline:
        busy, began = busy_seconds(bench.cores), time.monotonic()
        time.sleep(0.3)
        if busy_seconds(bench.cores) - busy < FOREIGN_LIMIT * (time.monotonic() - began):
            return


def measure_patiently(bench, cell, candidate, patience):
    """Takes a run again while it fails or others disturb it. Returns the quietest, None where all failed."""
    best = None
    for attempt in range(ATTEMPTS):
        if attempt and not patience.spend():
            break
        wait_for_quiet(bench)
        try:
            run = measure(bench, cell, candidate, bench.seconds)
        except BenchError as error:
            bench.failed |= isinstance(error, WrongBytes)
            bench.warn(f"DISCARDED a run of {candidate.title}, {cell.key}: {error}")
            continue
        if best is None or disturbance(run) < disturbance(best):
            best = run
        if quiet(best) or bench.quick:
            break
        say(f"    {candidate.title}: others used {run['foreign']:.0%} of a core,"
            f" the proxy waited {run['waited']:.0%} of the run")
    if best:
        best["quiet"] = quiet(best)
    return best


def run_rounds(bench, cell, contestants):
    """The candidates in turns, until enough rounds were quiet or patience ends.

    Returns a list of rounds, each from candidate key to run.
    """
    rounds = []
    patience = Patience(bench.rounds * len(contestants))
    while contestants and (len(rounds) < bench.rounds or wants_another(bench, rounds, patience, len(contestants))):
        # Another one begins in each round, so that nobody always follows the same one.
        shift = len(rounds) % len(contestants)
        found = {}
        for candidate in contestants[shift:] + contestants[:shift]:
            run = measure_patiently(bench, cell, candidate, patience)
            if run:
                found[candidate.key] = run
        rounds.append(found)
        shown = "  ".join(f"{key} {run['figure']:.2f}" for key, run in sorted(found.items()))
        say(f"  {cell.key}, round {len(rounds)}: {shown}{'' if is_quiet_round(found) else '  (disturbed)'}")
    return rounds


def wants_another(bench, rounds, patience, runs):
    return not bench.quick and sum(map(is_quiet_round, rounds)) < bench.rounds and patience.spend(runs)


def is_quiet_round(found):
    return bool(found) and all(run["quiet"] for run in found.values())
