#!/usr/bin/python3
"""Instructions that Weir executes for a request or a connection, counted by valgrind's callgrind.

Unlike time they are the same on a busy machine: what is compared with profile-baseline.json is Weir itself. Weir runs
on its epoll engine, because valgrind does not know io_uring; what the kernel does is not counted. A figure is the
difference between a run of N requests and one of twice as many, divided by N, so that start and end are not in it.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace

import configurations
from candidates import text_of
from command_line import argument_parser, run_command
from processes import Addresses, BenchError, Child, Guard, say
from profiler import demangled

FOLDER = os.path.dirname(os.path.abspath(__file__))
BASELINE = os.path.join(FOLDER, "profile-baseline.json")

# One request at a time costs the same turns of the loop each time, whatever the scheduler does. With more, turns are
# shared as it comes, which is cheaper and varies by some percent on a busy machine.
ONE_BY_ONE = 1
# Where a connection ends while the next begins, one by one there are several orders; over eight they even out.
SEVERAL = 8
# A figure may be so much above the baseline before somebody has to say why, and so much below before the baseline has
# to follow.
TOLERANCE = 0.05
# For valgrind to start and end on a busy machine.
PATIENCE_SECONDS = 60


@dataclass
class Cell:
    key: str
    unit: str
    # For the template.
    values: dict
    # For both ends, weir-bench origin and weir-bench load.
    mode: str
    count: int
    connections: int = ONE_BY_ONE
    load: tuple = ()


CELLS = {
    cell.key: cell
    for cell in (
        Cell("http-small", "request", configurations.weir("http", "epoll"), "http", 2000),
        Cell("http-log", "request", configurations.weir("http", "epoll", access="/dev/null"), "http", 2000),
        Cell("tcp-small", "message", configurations.weir("tcp", "epoll"), "tcp", 2000),
        Cell("tcp-fresh", "connection", configurations.weir("tcp", "epoll"), "tcp", 4000, SEVERAL, ("--fresh",)),
    )
}


class Lab:
    """The programs, and a folder for what a run writes."""

    def __init__(self, weir, weir_bench):
        self.weir, self.weir_bench = os.path.abspath(weir), os.path.abspath(weir_bench)
        for path in (self.weir, self.weir_bench):
            if not os.access(path, os.X_OK):
                raise BenchError(f"no program at {path}: `make build weir-bench` first")
        if not shutil.which("valgrind"):
            raise BenchError("no valgrind; try `apt-get install valgrind`")
        self.cores = {min(os.sched_getaffinity(0))}
        self.addresses = Addresses()
        self.directory = tempfile.mkdtemp(prefix="weir-profile-")
        Child.guard = Guard(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        Child.stop_all()
        Child.guard.close()


def run(lab, cell, count, out):
    """Instructions of a whole run of Weir that relays `count` requests. The profile is left in `out`."""
    listen, origin = lab.addresses.next()
    path = os.path.join(lab.directory, "weir.yaml")
    with open(path, "w") as file:
        file.write(configurations.WEIR.format(listen=text_of(listen), origin=text_of(origin), **cell.values))
    backend = Child("origin", [lab.weir_bench, "origin", "--listen", text_of(origin), "--mode", cell.mode], lab.cores,
                    lab.directory)
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", lab.weir, "run", "-c", path]
    weir = Child("weir", command, lab.cores, lab.directory)
    try:
        backend.wait_until_listening(origin)
        weir.wait_until_listening(listen, within_seconds=PATIENCE_SECONDS)
        drive(lab, cell, count, listen)
    finally:
        status = weir.stop(within_seconds=PATIENCE_SECONDS)
        backend.stop()
    if status != 0:
        raise BenchError(f"Weir ended with {status}: {weir.log()[-2000:]}")
    with open(out) as file:
        found = re.search(r"^(?:totals|summary): (\d+)", file.read(), re.MULTILINE)
    if not found:
        raise BenchError(f"callgrind left no total in {out}")
    return int(found.group(1))


def drive(lab, cell, count, listen):
    command = [lab.weir_bench, "load", "--target", text_of(listen), "--mode", cell.mode, "--connections", str(cell.connections),
               "--requests", str(count), "--duration", f"{PATIENCE_SECONDS}s", "--json", *cell.load]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_SECONDS)
    if ran.returncode != 0:
        raise BenchError(f"the load generator failed: {ran.stderr}")
    report = json.loads(ran.stdout)
    if report["error_count"] or report["answered"] != count:
        raise BenchError(f"{report['answered']} of {count} answered, errors {report['errors']}")


def out_path(lab, cell, times):
    return os.path.join(lab.directory, f"{cell.key}-{times}.out")


def measure(lab, cell):
    """Instructions for each request."""
    once, twice = (run(lab, cell, times * cell.count, out_path(lab, cell, times)) for times in (1, 2))
    return (twice - once) / cell.count


def self_costs(path):
    """Instructions by function, those of the functions it calls not included."""
    names, costs = {}, {}
    current, is_call = None, False
    with open(path) as file:
        for line in file:
            if line.startswith("fn="):
                number, _, name = line[3:].strip().partition(" ")
                # A name is written out once, and only its number from there on.
                current = names.setdefault(number, name)
            elif line.startswith("cfn="):
                number, _, name = line[4:].strip().partition(" ")
                names.setdefault(number, name)
            elif line.startswith("calls="):
                # What the call cost altogether comes on the next line.
                is_call = True
            elif line[0] in "0123456789+-*":
                if not is_call and current:
                    costs[current] = costs.get(current, 0) + int(line.split()[1])
                is_call = False
    return costs


def heaviest(lab, cell, most):
    """(instructions for each request, function) of the heaviest functions of the runs that `measure` has made."""
    once, twice = (self_costs(out_path(lab, cell, times)) for times in (1, 2))
    shares = ((cost - once.get(name, 0)) / cell.count for name, cost in twice.items())
    return sorted(zip(shares, twice), reverse=True)[:most]


def load_baseline():
    with open(BASELINE) as file:
        return json.load(file)


def verdict(cell, figure, baseline):
    """What is to be done about a figure that left its baseline; None where it is near."""
    was = baseline[cell.key]
    if abs(figure - was) <= TOLERANCE * was:
        return None
    found = f"{cell.key}: {figure:,.0f} instructions a {cell.unit}, {was:,.0f} in the baseline ({figure / was - 1:+.1%})"
    if figure > was:
        return f"{found}: find out why (`make profile`); if it has to be, `make profile-baseline` and say so in the commit"
    return f"{found}: well done; `make profile-baseline`, so that it stays so"


def arguments():
    parser = argument_parser(__doc__, "weir", "weir-bench")
    parser.add_argument("--cells", metavar="NAMES", default=",".join(CELLS), help="default: %(default)s")
    parser.add_argument("--connections", type=int, metavar="N", help="instead of a cell's own; not for the baseline")
    parser.add_argument("--top", type=int, default=0, metavar="N", help="show so many of the heaviest functions")
    parser.add_argument("--write-baseline", action="store_true", help="what is found is what is expected from now on")
    parser.add_argument("--keep", metavar="FOLDER", help="copy callgrind's files there, for callgrind_annotate")
    options = parser.parse_args()
    options.cells = options.cells.split(",")
    for name in options.cells:
        if name not in CELLS:
            parser.error(f"no cell `{name}`; there are {', '.join(CELLS)}")
    if options.connections and options.write_baseline:
        parser.error("the baseline is of each cell's own number of connections")
    return options


def show(lab, cell, figure, baseline, options):
    was = baseline.get(cell.key)
    print(f"{cell.key}: {figure:,.0f} instructions a {cell.unit}" + (f", {figure / was - 1:+.2%} of the baseline" if was else ""))
    rows = heaviest(lab, cell, options.top)
    text = demangled("\n".join(f"  {share:8,.1f} {share / figure:6.1%}  {name}" for share, name in rows))
    print(text, flush=True)
    if options.keep:
        os.makedirs(options.keep, exist_ok=True)
        for times in (1, 2):
            shutil.copy(out_path(lab, cell, times), options.keep)


def main():
    options = arguments()
    baseline = load_baseline() if os.path.exists(BASELINE) else {}
    with Lab(options.weir, options.bench) as lab:
        for key in options.cells:
            cell = CELLS[key]
            if options.connections:
                cell = replace(cell, connections=options.connections)
            figure = measure(lab, cell)
            show(lab, cell, figure, {} if options.connections else baseline, options)
            baseline[key] = round(figure)
    if options.write_baseline:
        with open(BASELINE, "w") as file:
            json.dump(baseline, file, indent=1)
            file.write("\n")
        say(f"wrote {os.path.relpath(BASELINE)}")
    return 0


if __name__ == "__main__":
    run_command("profile", main)
