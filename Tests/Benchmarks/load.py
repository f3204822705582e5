"""The cells with a load: CPU time of a proxy for each request, connection or MiB."""

import os
import time
from dataclasses import dataclass

import candidates
from generators import WEIR_BENCH, WRK, Generator, Load
from processes import BenchError, Usage, add_usage, busy_seconds, own_seconds, say, wait_for_time_wait
from verification import check_access_log, forget_access_log

MEBIBYTE = 1 << 20

# A run is taken again where others used this much of the two cores, or where the proxy was ready to run
# but waited this long for its core; both as a share of the run.
FOREIGN_LIMIT = 0.12
WAIT_LIMIT = 0.04
ATTEMPTS = 4

# Many small answers, a few large ones: 17 KiB in the middle, of which the one in a hundred is 10.
MIX = "128:70,2KiB:20,32KiB:9,1MiB:1"


@dataclass
class Cell:
    key: str
    title: str
    unit: str
    # The first one is compared with each of the others.
    contestants: tuple
    # A contestant may have its own.
    connections: int = 64
    response_bytes: int | None = None
    mix: str = ""
    is_fresh: bool = False
    # At shares of what all contestants can do, latencies are compared: see `capacity`.
    is_open_loop: bool = False
    # Another than the usual one: the cell is left out where it cannot be had.
    congestion_control: str | None = None
    generator: Generator = WEIR_BENCH
    # Only where it is asked for by name.
    is_extra: bool = False

    def units(self, report):
        return report["bytes"] / MEBIBYTE if self.unit == "MiB" else report["requests"]

    def load_on(self, candidate, seconds, capacity):
        rate = int(candidate.share * capacity) if candidate.share else None
        return Load(seconds, candidate.connections or self.connections, self.response_bytes, self.mix, self.is_fresh, rate,
                    candidate.silent)


def named(prefix, *names):
    return tuple(prefix + name for name in names)


def in_both_modes(mode):
    """The cells that both modes have. Keys, of cells as of candidates, begin with `http-` in http mode."""
    prefix, title = ("", "") if mode == "tcp" else ("http-", "http, ")
    peers = named(prefix, "weir", "haproxy", "nginx")
    with_epoll = (*peers, f"{prefix}weir-epoll")
    bulk = named(prefix, "weir", "haproxy-splice", "haproxy", "nginx", "weir-epoll")
    by_connections = [f"{prefix}weir@{count}" for count in candidates.CONNECTIONS]
    few_speak = f"{candidates.SPEAKING}-of-{max(candidates.CONNECTIONS)}"
    by_connections.append(f"{prefix}weir@{few_speak}")
    if mode == "http":
        by_connections += [f"http-weir-batch@{count}" for count in candidates.CONNECTIONS]
    by_connections += [f"{peer}@{count}" for peer in peers[1:] for count in candidates.CONNECTIONS if count != 64]
    return (
        Cell(f"{prefix}small", f"{title}small: 128-byte responses, 64 kept connections", "request", with_epoll),
        Cell(f"{prefix}small-wrk", f"{title}small, as {prefix}small, driven by wrk with nginx as origin", "request", peers,
             generator=WRK),
        Cell(f"{prefix}connections", f"{title}small, 10 to 5,000 kept connections", "request", tuple(by_connections)),
        Cell(f"{prefix}mixed", f"{title}mixed: responses of 128 bytes (70 %), 2 KiB (20 %), 32 KiB (9 %) and 1 MiB (1 %),"
             " 64 kept connections", "request", peers, mix=MIX),
        Cell(f"{prefix}bulk", f"{title}bulk: 1 MiB responses, 16 kept connections", "MiB", bulk, connections=16,
             response_bytes=MEBIBYTE),
        Cell(f"{prefix}workers", f"{title}two workers: as {prefix}small, on two cores that load and origin share", "request",
             named(prefix, "weir-2", "weir", "haproxy-2", "nginx-2")),
    )


OPEN_LOOP = tuple(f"http-{name}@{share:.0%}" for share in candidates.SHARES for name in ("weir", "haproxy", "nginx"))

CELLS = {
    cell.key: cell
    for cell in (
        *in_both_modes("tcp"),
        Cell("bulk-bbr", "bulk under bbr, without a target: 1 MiB responses, 16 kept connections", "MiB",
             ("weir", "haproxy-splice", "haproxy", "nginx", "weir-epoll"), connections=16, response_bytes=MEBIBYTE,
             congestion_control="bbr", is_extra=True),
        Cell("fresh", "fresh: a new connection for each 128-byte response, 64 at a time", "connection",
             ("weir", "haproxy", "nginx", "weir-epoll"), is_fresh=True),
        *in_both_modes("http"),
        Cell("http-open", "http, open loop: 128-byte responses at a fixed rate, 64 kept connections", "request", OPEN_LOOP,
             is_open_loop=True),
        Cell("http-small-batch", "http, small, as http-small, up to 8 requests of one moment on a connection", "request",
             ("http-weir-batch", "http-weir", "http-haproxy", "http-nginx")),
        Cell("http-log", "http, access log: as http-small, with and without a record of each request", "request",
             ("http-weir-log", "http-weir")),
        Cell("http-routes", "http, routes: as http-small, each request taken by the last of 1,000 routes and of 10",
             "request", ("http-weir-routes-1000", "http-weir-routes-10"), is_extra=True),
    )
}


class Meter:
    """What a proxy, its origin, the load generator and everybody else used during a run."""

    def __init__(self, bench, proxy, origin):
        self.bench, self.proxy, self.origin = bench, proxy, origin

    def read(self, load_pid):
        load = Usage()
        if load_pid:
            add_usage(load, load_pid)
        return (time.monotonic(), busy_seconds(self.bench.cores), own_seconds(), self.proxy.usage(), self.origin.usage(), load)

    def begin(self, load_pid):
        self.before = self.read(load_pid)
        self.processes = self.before[3].processes

    def end(self, load_pid):
        after = self.read(load_pid)
        self.is_same = after[3].processes == self.processes
        self.elapsed, busy, own, self.used, origin, load = (now - before for now, before in zip(after, self.before))
        self.foreign = busy - own - (self.used.nanoseconds + origin.nanoseconds + load.nanoseconds) / 1e9


def measure(bench, cell, candidate, seconds, capacity=None):
    """One run: start, load, stop. Raises BenchError where the run is worth nothing."""
    if cell.is_fresh:
        wait_for_time_wait()
    listen, origin = bench.addresses.next()
    forget_access_log(bench)
    generator = cell.generator
    proxy = candidate.start(bench, listen, generator.origin_address(bench, origin))
    try:
        proxy.wait_until_listening(listen)
        meter = Meter(bench, proxy, generator.origin(bench))
        report = generator.drive(bench, cell.load_on(candidate, seconds, capacity), listen, meter)
    finally:
        status = proxy.stop()
    if not meter.is_same:
        raise BenchError(f"{candidate.title}: a process ended or began during the run:\n{proxy.log()[-2000:]}")
    if status is None:
        bench.warn(f"{candidate.title}, {cell.key}: did not end within 3 s of SIGTERM")
    elif status != 0 and candidate.program == "weir":
        bench.warn(f"{candidate.title}, {cell.key}: exit status {status}: {proxy.log()[-500:]}")
    if candidate.is_logging:
        check_access_log(bench, candidate, report["requests"] + report.get("warmed_up", 0))
    return figures(bench, cell, candidate, report, meter)


def capacity(bench, cell, contestants):
    """Requests a second that all of them can do: the least of their closed loops. None where that is not asked for."""
    if not cell.is_open_loop:
        return None
    found = {}
    for candidate in contestants:
        plain = candidates.ALL[candidate.variant_of]
        if plain.key not in found:
            found[plain.key] = measure(bench, cell, plain, bench.seconds)["units_per_second"]
    shown = "  ".join(f"{key} {rate:,.0f}" for key, rate in found.items())
    say(f"  {cell.key}, closed loop: {shown} a second")
    return min(found.values())


def figures(bench, cell, candidate, report, meter):
    units = cell.units(report)
    used, elapsed = meter.used, meter.elapsed
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
        **{name: report[name] for name in ("p50", "p99", "p99_9", "max")},
        "foreign": meter.foreign / elapsed,
        # Who shares its cores with the load waits for them by design.
        "waited": used.wait_nanoseconds / 1e9 / elapsed if candidate.has_core_alone else 0,
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


def measure_patiently(bench, cell, candidate, patience, capacity):
    """Takes a run again while it fails or others disturb it. Returns the quietest, None where all failed."""
    best = None
    for attempt in range(ATTEMPTS):
        if attempt and not patience.spend():
            break
        wait_for_quiet(bench)
        try:
            run = measure(bench, cell, candidate, bench.seconds, capacity)
        except BenchError as error:
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
    rate = capacity(bench, cell, contestants)
    while contestants and (len(rounds) < bench.rounds or wants_another(bench, rounds, patience, len(contestants))):
        # Another one begins in each round, so that nobody always follows the same one.
        shift = len(rounds) % len(contestants)
        found = {}
        for candidate in contestants[shift:] + contestants[:shift]:
            run = measure_patiently(bench, cell, candidate, patience, rate)
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
