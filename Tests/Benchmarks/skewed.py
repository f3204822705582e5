#!/usr/bin/python3
"""What each balancing policy makes of one slow backend among three: latencies of an open loop through Weir in http
mode, and how many requests the slow one got. With --write-docs the table and its picture go into docs/balancing.md.
"""

import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time

from command_line import ROOT, argument_parser, run_command
from load import ATTEMPTS, FOREIGN_LIMIT, wait_for_quiet
from network import Network
from pages import replace_part
from pictures import Row, draw_latencies
from processes import Addresses, BenchError, Child, Cores, Guard, busy_seconds, own_seconds, say

# All that need no key, as docs/balancing.md has them.
POLICIES = ("round_robin", "random", "least_connections", "power_of_two", "adaptive", "peak_ewma", "prequal")
# What the others are compared with, and how much lower the p99 of these has to be.
GROUND = "round_robin"
# What a policy needs beside its name.
SETTINGS = {"prequal": "    prequal: { path: /load }\n"}
TARGETS = {"peak_ewma": 3, "prequal": 3}

FAST, SLOW = "2ms", "20ms"
DELAYS = {"a": FAST, "b": FAST, "slow": SLOW}

CONFIGURATION = """\
workers: 1
logs: {{ access: off, events: stderr }}
listeners:
  front: {{ bind: {listen}, mode: http, pool: origins }}
pools:
  origins:
    balance: {policy}
{settings}    backends:
{backends}
"""


class Lab:
    """What every run needs: programs, cores, addresses, and a folder for configurations."""

    def __init__(self, options):
        self.options = options
        # For `wait_for_quiet`: a run that only shows that it works waits for nothing.
        self.quick = options.seconds < 3
        self.warnings = []
        # First of all that has a socket.
        self.network = Network(self.warn)
        self.cores = Cores.take()
        self.addresses = Addresses()
        self.directory = tempfile.mkdtemp(prefix="weir-skewed-")
        Child.guard = Guard(self.directory)

    def warn(self, text):
        self.warnings.append(text)
        say(f"  !! {text}")

    def close(self):
        Child.stop_all()
        Child.guard.close()


def start_origins(lab, host, port):
    origins = {}
    for number, (name, delay) in enumerate(DELAYS.items()):
        address = (host, port + number)
        command = [lab.options.bench, "origin", "--listen", f"{host}:{port + number}", "--delay", delay, "--name", name]
        origins[name] = (Child(f"origin {name}", command, {lab.cores.load}, lab.directory), address)
    for child, address in origins.values():
        child.wait_until_listening(address)
    return origins


def start_weir(lab, policy, listen, origins):
    path = os.path.join(lab.directory, "weir.yaml")
    backends = "\n".join(
        f"      - {{ name: {name}, address: {host}:{port} }}" for name, (_, (host, port)) in origins.items())
    with open(path, "w") as file:
        file.write(CONFIGURATION.format(listen=f"{listen[0]}:{listen[1]}", policy=policy, settings=SETTINGS.get(policy, ""), backends=backends))
    weir = Child("weir", [lab.options.weir, "run", "-c", path, "--drain-timeout", "1"], {lab.cores.proxy}, lab.directory)
    weir.wait_until_listening(listen)
    return weir


def drive(lab, listen):
    """The report of the load generator, which runs on this script's core."""
    command = [lab.options.bench, "load", "--target", f"{listen[0]}:{listen[1]}", "--connections", "200", "--rate",
               str(lab.options.rate), "--duration", f"{lab.options.seconds}s", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        raise BenchError(f"the load generator failed: {ran.stderr}")
    report = json.loads(ran.stdout)
    if report["error_count"] or report["unfinished"]:
        raise BenchError(f"errors {report['errors']}, {report['unfinished']} unfinished")
    return report


def requests_of(child):
    """Ends an origin, which then prints what it counted."""
    child.stop()
    line = next(line for line in child.log().splitlines() if line.startswith("{"))
    return json.loads(line)["requests"]


def measure(lab, policy):
    listen, (host, port) = lab.addresses.next()
    origins = start_origins(lab, host, port)
    weir = start_weir(lab, policy, listen, origins)
    children = [weir, *(child for child, _ in origins.values())]
    try:
        began, before = time.monotonic(), foreign_seconds(lab, children)
        report = drive(lab, listen)
        foreign = (foreign_seconds(lab, children) - before) / (time.monotonic() - began)
    finally:
        weir.stop()
        counts = {name: requests_of(child) for name, (child, _) in origins.items()}
    latency = report["latency_us"]
    return {
        **{name: latency[name] / 1000 for name in ("p50", "p99", "p99_9")},
        "share": counts["slow"] / sum(counts.values()),
        "foreign": foreign,
    }


def foreign_seconds(lab, children):
    """CPU time of both cores that was neither this script's nor its children's."""
    used = sum(child.usage().nanoseconds for child in children) / 1e9
    return busy_seconds(lab.cores) - own_seconds() - used


def measure_patiently(lab, policy):
    """Takes a run again while others on the machine disturb it; the quietest counts."""
    best = None
    for _ in range(ATTEMPTS):
        wait_for_quiet(lab)
        run = measure(lab, policy)
        if best is None or run["foreign"] < best["foreign"]:
            best = run
        if best["foreign"] <= FOREIGN_LIMIT:
            return best
    lab.warn(f"{policy}: others used {best['foreign']:.0%} of a core during the quietest run")
    return best


def run_rounds(lab):
    """A list of rounds, each from policy to run. Another policy begins in each."""
    rounds = []
    policies = lab.options.policies
    for number in range(lab.options.rounds):
        shift = number % len(policies)
        found = {}
        for policy in (*policies[shift:], *policies[:shift]):
            found[policy] = run = measure_patiently(lab, policy)
            say(f"  round {number + 1}, {policy}: p50 {run['p50']:.2f}  p99 {run['p99']:.2f}  p99.9 {run['p99_9']:.2f} ms,"
                f" slow one {run['share']:.2%}")
        rounds.append(found)
    return rounds


def values(rounds, policy, name):
    return [found[policy][name] for found in rounds]


def middle(rounds, policy, name):
    return statistics.median(values(rounds, policy, name))


def table(policies, rounds):
    lines = ["| `balance` | p50 | p99 (of rounds) | p99.9 | slow backend's share | p99 of `round_robin` over its own |",
             "|---|---|---|---|---|---|"]
    for policy in policies:
        p50, p99, p99_9, share = (middle(rounds, policy, name) for name in ("p50", "p99", "p99_9", "share"))
        spread = values(rounds, policy, "p99")
        gain = "" if GROUND not in policies else f"{statistics.median(gains(rounds, policy)):.1f}"
        lines.append(f"| `{policy}` | {p50:.2f} ms | {p99:.2f} ms ({min(spread):.2f} to {max(spread):.2f}) |"
                     f" {p99_9:.2f} ms | {share:.2%} | {gain} |")
    return "\n".join(lines)


def gains(rounds, policy):
    """How many times lower than the ground's the p99 is, within each round."""
    return [found[GROUND]["p99"] / found[policy]["p99"] for found in rounds]


def targets(policies, rounds):
    lines = []
    for policy, wanted in TARGETS.items():
        if policy in policies and GROUND in policies:
            found = statistics.median(gains(rounds, policy))
            holds = "holds" if found >= wanted else "DOES NOT HOLD"
            lines.append(f"Target: the p99 of `{policy}` is at least {wanted} times lower than that of `{GROUND}`."
                         f" It {holds}: {found:.1f} times.")
    return "\n".join(lines)


def write_docs(options, rounds, warnings):
    rows = [Row(policy, *(middle(rounds, policy, name) for name in ("p50", "p99", "p99_9"))) for policy in POLICIES]
    with open(os.path.join(ROOT, "docs/pictures/skewed.svg"), "w") as file:
        file.write(draw_latencies(rows, "Latency with one of three backends ten times slower"))
    conditions = (f"{options.rate} requests a second for {options.seconds} s, {len(rounds)} rounds, the middle one of"
                  " each figure.")
    text = f"{conditions}\n\n{table(POLICIES, rounds)}\n\n{targets(POLICIES, rounds)}"
    if warnings:
        text += f"\n\nOther work on the machine disturbed {len(warnings)} of {len(rounds) * len(POLICIES)} runs."
    replace_part(os.path.join(ROOT, "docs/balancing.md"), "skewed", text)


def arguments():
    parser = argument_parser(__doc__, "weir", "weir-bench")
    parser.add_argument("--policies", metavar="NAMES", default=",".join(POLICIES), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=10, help="length of a run (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=1000, help="requests a second (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write every run's figures there")
    parser.add_argument("--write-docs", action="store_true", help="write docs/balancing.md and its picture")
    options = parser.parse_args()
    options.policies = tuple(options.policies.split(","))
    if options.write_docs and options.policies != POLICIES:
        parser.error("--write-docs needs all policies")
    for path in (options.weir, options.bench):
        if not os.access(path, os.X_OK):
            parser.error(f"no program at {path}: `make build weir-bench` first")
    return options


def main():
    options = arguments()
    lab = Lab(options)
    with contextlib.closing(lab):
        rounds = run_rounds(lab)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"warnings": lab.warnings, "rounds": rounds}, file, indent=1)
    print(table(options.policies, rounds))
    print("\n" + targets(options.policies, rounds))
    if options.write_docs:
        write_docs(options, rounds, lab.warnings)
        say("wrote docs/balancing.md and docs/pictures/skewed.svg")
    return 0


if __name__ == "__main__":
    run_command("skewed", main)
