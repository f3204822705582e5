"""Writes docs/benchmarks.md out of one run: the tables, what they were taken on, how, and with which peers."""

import os
import platform
import re
import subprocess

import candidates
import charts
import results as tables_of
from load import ATTEMPTS, FOREIGN_LIMIT, WAIT_LIMIT
from network import USUAL_CONGESTION_CONTROL
from verification import MISSING_LIMIT

METHOD = f"""\
Requests per second say little where load generator, origin and proxy share a machine. What is measured is **the
CPU time that a proxy uses for a unit of work**: the time that the scheduler accounted to all of its tasks (user
and system, kernel threads that work for it included), divided by the requests, connections or MiB that the load
generator counted. The figure comes from the process CPU clock, which is the sum of `/proc/PID/task/*/schedstat` with ended
tasks included, and is cross-checked with `/proc/PID/stat`; the user/system split is from the latter, whose clock
tick makes it coarse.

- Each proxy has one worker, pinned to one core that it has for itself. Load generator and origin, one thread each, are
  pinned to the other. In the cells with two workers all of them share both cores.
- Load generator and origin are `weir-bench`, which needs less time than wrk and nginx: with those on the other core it
  is not the proxy that limits, it idles and is woken for few requests at a time. `small-wrk` and `http-small-wrk`
  repeat one cell of each mode with wrk and with nginx as origin, for those who would rather not trust our own.
- Connections are made before a run is measured and closed after it, but in `fresh` (and with wrk).
- In an open loop requests start at a fixed rate, whatever the answers do, and their latency counts from when they were
  to start. Capacity is what the slowest of the three can do in a closed loop, measured first in the same run: all get
  the same rate. Of the cells with a closed loop latencies are not shown: there nobody asks a proxy that stands still.
- The candidates run in turns, every one once in a round, a different one first each time. A ratio is taken
  within a round; the table shows the median of the rounds, with the smallest and the largest.
- The bytes of a small and of a large response are compared through each proxy before its first run, with nginx as
  origin. In all runs the generator checks status and length; one in which it saw any error is discarded and reported.
- In http mode connections are kept on both sides, and every proxy tells the origin the client's address in
  X-Forwarded-For; both are checked before its first run. Nobody writes an access log but Weir in `http-log`: JSON into a
  file, the thread that writes it on the same core as the worker. A run whose file lacks more than {MISSING_LIMIT:.0%} of the
  records is discarded, and any that are missing are noted.
- In `http-routes` the last route takes the requests, and there is no pool for what no route takes, so that a
  request that is not matched would fail the run.
- A run is taken again, up to {ATTEMPTS} times, when other processes used more than {FOREIGN_LIMIT:.0%} of a core or the proxy had
  to wait for its core for more than {WAIT_LIMIT:.0%} of the run, and rounds that stayed disturbed are replaced, as long
  as that at most doubles the work. What stayed disturbed after that is marked.
- Everything runs in a network namespace of its own (as root `CLONE_NEWNET`, otherwise with a user namespace as
  well), so that the host's connections and settings have no part in it. A new namespace has the kernel's defaults
  for the range of client ports, the reuse of TIME_WAIT and the length of accept queues; the limits of socket
  buffers (`tcp_rmem`, `tcp_wmem`) it takes from the host. Where the host allows no namespace, its own network is
  used as it is set, and the notes of the run say so.
- The congestion control is {USUAL_CONGESTION_CONTROL}, the default of Linux and of Debian, for every cell and every target but
  `bulk-bbr`. That one repeats `bulk` under bbr, whose timers pace large writes on loopback too: they make figures
  noisy and hide what separates proxies that splice, so no target is tied to it. It is left out where the kernel
  has no bbr.
- Each run has loopback addresses of its own, so that connections in TIME_WAIT do not hinder the next.
- Idle memory is the growth of the proportional set size (PSS) by the open sessions, or in http mode by client
  connections that are kept open. Kernel memory of the sockets is not in it; it is the same for all.
- Start is from spawning the process to the first connect that succeeds.

Timings never fail the command: whether a target holds is printed, not enforced.
"""


def first_line(*command):
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return "unknown"
    return ((ran.stdout or ran.stderr).strip().splitlines() or ["unknown"])[0]


def package_version(*names):
    for name in names:
        version = first_line("dpkg-query", "-W", "-f", "${Version}", name)
        if re.match(r"\d", version):
            return version
    return "unknown"


def processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def facts(bench):
    """What the figures were taken on. Nothing that names a machine or a day."""
    return [
        ("kernel", re.sub(r"[-+].*", "", platform.release())),
        ("processor", f"{processor()}, {os.cpu_count()} cores"),
        ("network", bench.network.described()),
        ("Weir", first_line(bench.weir, "--version").removeprefix("weir ")),
        ("HAProxy", re.sub(r"^HAProxy version (\S+).*", r"\1", first_line("haproxy", "-v"))),
        ("nginx", first_line("nginx", "-v").rpartition("/")[2]),
        ("wrk", package_version("wrk")),
        ("liburing", package_version("liburing2", "liburing-dev")),
    ]


def configurations():
    parts = []
    listen, origin = ("127.0.1.1", 20001), ("127.0.2.1", 20002)
    for candidate in candidates.ALL.values():
        if candidate.variant_of:
            continue
        text = f"```\n{candidate.configuration(listen, origin, '/tmp/weir-bench')}```"
        parts.append(f"{candidate.title}:\n\n{candidate.summary or text}")
    text = candidates.origin_configuration([candidates.text_of(origin)], "/tmp/weir-bench")
    parts.append(f"The origin:\n\n```\n{text}```")
    return "\n\n".join(parts)


def render(bench, results, pictures):
    environment = "\n".join(f"- {name}: {value}" for name, value in facts(bench))
    warnings = ""
    if bench.warnings:
        warnings = "\nNoted during the run:\n\n" + "\n".join(f"- {text.splitlines()[0]}" for text in bench.warnings) + "\n"
    return f"""\
# Benchmarks

<!-- Written by `make bench`; run it again instead of editing. -->

Weir beside Debian's HAProxy and nginx, in tcp and in http mode, in turns in one run. Lower is better everywhere.

{tables_of.target_table(results).removeprefix('**targets**').strip()}

{pictures}

{(chr(10) * 2).join(tables_of.tables(results))}
{warnings}
## Taken on

{environment}

## How to run it

    make bench

It installs what is missing ({candidates.DEBIAN_PACKAGES.replace(' ', ', ')}), takes about a quarter of an hour on an
otherwise idle machine with at least two cores, prints these tables and writes this file and its pictures. After a build
`Tests/Benchmarks/bench.py` measures without writing; `--help` shows how to run single cells, more rounds, and the
profile of one cell. HAProxy and nginx are those that are found on the path.

## How it is measured

{METHOD}
## Configurations

Addresses and ports change from run to run; the rest is as used.

{configurations()}
"""


def write(bench, results, path):
    pictures = charts.write(results, os.path.dirname(path))
    with open(path, "w") as file:
        file.write(render(bench, results, pictures))
