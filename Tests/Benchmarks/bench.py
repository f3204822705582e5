#!/usr/bin/python3
"""Weir beside HAProxy and nginx on this machine: CPU time for each unit of work, idle memory, start.

What is measured and how: docs/benchmarks.md. Timings never fail this command; wrong bytes, missing programs
and a machine that is too small do.
"""

import contextlib
import json
import os
import random
import tempfile

import candidates
import document
import idle
import load
import results as tables_of
import verification
from command_line import ROOT, argument_parser, run_command
from network import Network
from processes import Addresses, BenchError, Child, Cores, Guard, io_uring_forbidden, raise_descriptor_limit, say
from profiler import profile

OTHER_CELLS = (*idle.CELLS, "start")


class Bench:
    """What every cell needs: cores, addresses, the origin, and how long to measure."""

    def __init__(self, options):
        self.quick = options.quick
        self.rounds = options.rounds or (1 if options.quick else 5)
        self.seconds = options.seconds or (1 if options.quick else 2)
        self.weir = os.path.abspath(options.weir)
        self.weir_bench = os.path.join(os.path.dirname(self.weir), "weir-bench")
        candidates.require_programs(self.weir, self.weir_bench)
        self.warnings = []
        # First of all that has a socket.
        self.network = Network(self.warn)
        self.cores = Cores.take()
        self.descriptors = raise_descriptor_limit()
        self.addresses = Addresses()
        self.bulk_body = random.Random(1).randbytes(candidates.BULK_BYTES)
        self.failed = False
        self.directory = tempfile.mkdtemp(prefix="weir-bench-")
        Child.guard = Guard(self.directory)
        self.origin = None
        # What is wrong with candidates that were tried, by key; None: nothing.
        self.problems = {}

    def warn(self, text):
        if text not in self.warnings:
            self.warnings.append(text)
        say(f"  !! {text}")

    def close(self):
        Child.stop_all()
        Child.guard.close()

    def contestants(self, keys):
        """Those of `keys` that relay right here: a host may forbid io_uring, a build may be broken."""
        usable = []
        for key in keys:
            candidate = candidates.ALL[key]
            plain = candidates.ALL[candidate.variant_of or key]
            if plain.key not in self.problems:
                self.problems[plain.key] = self.problem_with(plain)
            if self.problems[plain.key] is None:
                usable.append(candidate)
        return usable

    def problem_with(self, candidate):
        """None where a candidate relays the right bytes here. What is wrong is told, once."""
        if candidate.values.get("engine") == "io_uring" and io_uring_forbidden():
            problem = "this host forbids io_uring"
        else:
            problem = self.try_out(candidate)
            self.failed |= problem is not None
        if problem is not None:
            self.warn(f"LEFT OUT {candidate.title}: {problem}")
        return problem

    def try_out(self, candidate):
        listen, origin = self.addresses.next()
        try:
            proxy = candidate.start(self, listen, origin)
            try:
                proxy.wait_until_listening(listen)
                verification.verify(self, candidate, listen)
            finally:
                proxy.stop()
        except BenchError as error:
            return str(error)
        return None


def arguments():
    parser = argument_parser(__doc__, "weir")
    names = [*load.CELLS, *OTHER_CELLS]
    plain = [key for key, candidate in candidates.ALL.items() if not candidate.variant_of]
    usual = [name for name in names if name not in load.CELLS or not load.CELLS[name].is_extra]
    parser.add_argument("--cells", metavar="NAMES", default=",".join(usual),
                        help=f"comma-separated, of {', '.join(names)} (default: %(default)s)")
    parser.add_argument("--rounds", type=int, help="quiet rounds of each cell (default: 5)")
    parser.add_argument("--seconds", type=int, help="length of one run (default: 2)")
    parser.add_argument("--quick", action="store_true",
                        help="does everything once, briefly: shows that it works, its figures mean nothing")
    parser.add_argument("--json", metavar="FILE", help="write every run's figures there")
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--profile", metavar="CELL", choices=[key for key, cell in load.CELLS.items() if not cell.is_open_loop],
                        help="instead of measuring, show where CPU time goes during one run of this cell")
    parser.add_argument("--candidate", metavar="NAME", choices=plain,
                        help=f"whom to profile, of {', '.join(plain)} (default: the cell's first)")
    options = parser.parse_args()
    options.cells = options.cells.split(",")
    for name in options.cells:
        if name not in names:
            parser.error(f"no cell `{name}`; there are {', '.join(names)}")
    if any(value is not None and value < 1 for value in (options.rounds, options.seconds)):
        parser.error("--rounds and --seconds are at least 1")
    if options.quick and options.write_docs:
        parser.error("the figures of --quick mean nothing; they do not belong into the docs")
    return options


def run_load(bench, cell):
    try:
        bench.network.choose(cell.congestion_control)
    except BenchError as error:
        bench.warn(f"LEFT OUT {cell.key}: {error}")
        return []
    return load.run_rounds(bench, cell, bench.contestants(cell.contestants))


def run_idle(bench, cell):
    wanted = 300 if bench.quick else 3000
    # Both ends of every session are descriptors of the proxy, and of this script.
    count = min(wanted, (bench.descriptors - 500) // 2)
    if count < wanted:
        bench.warn(f"{cell.key}: {count} {cell.noun}s instead of {wanted}: the descriptor limit is {bench.descriptors}")
    contestants = bench.contestants(cell.contestants)
    rounds = []
    for number in range(min(bench.rounds, 3)):
        found = {}
        for candidate in contestants:
            try:
                found[candidate.key] = idle.memory_run(bench, cell, candidate, count)
            except (BenchError, OSError) as error:
                bench.warn(f"DISCARDED a run of {candidate.title}, {cell.key}: {error}")
        rounds.append(found)
        shown = "  ".join(f"{key} {run['figure']:.0f}" for key, run in found.items())
        say(f"  {cell.key}, round {number + 1}: {shown}")
    return {"rounds": rounds, "count": count}


def run_start(bench):
    starts = {}
    for candidate in bench.contestants(("weir", "weir-epoll")):
        times = starts[candidate.key] = []
        for _ in range(3 if bench.quick else 10):
            try:
                times.append(idle.start_run(bench, candidate))
            except BenchError as error:
                bench.warn(f"DISCARDED a run of {candidate.title}, start: {error}")
        say(f"  start, {candidate.key}: " + " ".join(f"{milliseconds:.1f}" for milliseconds in times) + " ms")
    return starts


def run(bench, options):
    results = {"load": {}, "idle": {}, "start": {}}
    for key in options.cells:
        say(f"{key}:")
        bench.network.choose(None)
        if key in idle.CELLS:
            results["idle"][key] = run_idle(bench, idle.CELLS[key])
        elif key == "start":
            results["start"] = run_start(bench)
        else:
            results["load"][key] = run_load(bench, load.CELLS[key])
        # After each cell, so that a run that is broken off leaves what it has.
        save(bench, options, results)
    return results


def save(bench, options, results):
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"facts": dict(document.facts(bench)), "warnings": bench.warnings, **results}, file, indent=1)


def report(bench, options, results):
    print("\n" + "\n\n".join([*tables_of.tables(results), tables_of.target_table(results)]))
    if bench.warnings:
        print("\nnoted:\n" + "\n".join(f"- {text}" for text in bench.warnings))
    if bench.quick:
        print("\nThis was a quick run: it shows that everything works; its figures mean nothing.")
    if options.write_docs:
        path = os.path.join(ROOT, "docs/benchmarks.md")
        document.write(bench, results, path)
        say(f"wrote {os.path.relpath(path)}")


def main():
    options = arguments()
    bench = Bench(options)
    with contextlib.closing(bench):
        bench.origin = candidates.start_origin(bench)
        if options.profile:
            cell = load.CELLS[options.profile]
            candidate = candidates.ALL[options.candidate or cell.contestants[0]]
            build = os.path.join(ROOT, ".build")
            os.makedirs(build, exist_ok=True)
            data_path = os.path.join(build, f"profile-{cell.key}-{candidate.key}.data")
            bench.network.choose(cell.congestion_control)
            profile(bench, cell, candidate, data_path)
        else:
            report(bench, options, run(bench, options))
    return 1 if bench.failed else 0


if __name__ == "__main__":
    run_command("bench", main)
