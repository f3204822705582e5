"""For developers: where a proxy's CPU time goes during a cell, by `perf record`."""

import os
import re
import shutil
import subprocess
import threading

from processes import BenchError

TOP = 30


class NoMeter:
    """Nobody asks what a profiled run uses."""

    def begin(self, load_pid): pass

    def end(self, load_pid): pass


def profile(bench, cell, candidate, data_path):
    """Prints the heaviest symbols, user space and kernel apart, of one run of `cell`."""
    if not shutil.which("perf"):
        raise BenchError("no perf; try `apt-get install linux-perf`")
    listen, origin = bench.addresses.next()
    proxy = candidate.start(bench, listen, cell.generator.origin_address(bench, origin))
    try:
        proxy.wait_until_listening(listen)
        load = cell.load_on(candidate, bench.seconds + 1, None)
        report = record_while(bench, cell.generator, load, proxy, listen, data_path)
    finally:
        proxy.stop()
    print(f"{candidate.title}, {cell.key}: {cell.units(report):,.0f} {cell.unit}s in {bench.seconds} s, while profiled\n")
    print_report(data_path)


def record_while(bench, generator, load, proxy, listen, data_path):
    pids = ",".join(map(str, proxy.members()))
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "4999", "-g", "-o", data_path, "-p", pids]
    # perf follows the proxy until it has seen the load: `sleep` ends it.
    command += ["--", "sleep", str(bench.seconds)]
    problems = []

    def record():
        ran = subprocess.run(command, capture_output=True, text=True, timeout=bench.seconds + 30)
        if ran.returncode:
            problems.append(ran.stderr[-500:])

    recorder = threading.Thread(target=record)
    recorder.start()
    try:
        report = generator.drive(bench, load, listen, NoMeter())
    finally:
        recorder.join()
    if problems:
        raise BenchError(f"perf failed: {problems[0]}")
    return report


def print_report(data_path):
    """Perf's flat report in two lists, names demangled where Swift's tool is there."""
    command = ["perf", "report", "--stdio", "--no-children", "-g", "none", "-i", data_path, "--sort", "dso,symbol"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    # Some versions append columns without values.
    rows = re.findall(r"^\s+([\d.]+)%\s+(\S+)\s+\[([.k])\]\s+(.*?)(?:\s+-)*\s*$", demangled(text), re.MULTILINE)
    for mark, title in ((".", "user space"), ("k", "kernel")):
        chosen = [(float(share), dso, name) for share, dso, kind, name in rows if kind == mark]
        print(f"{title}: {sum(share for share, _, _ in chosen):.1f} % of the samples")
        for share, dso, name in chosen[:TOP]:
            print(f"  {share:6.2f} %  {name if mark == 'k' else f'{name}  ({dso})'}")
        print()
    print(f"call graphs: perf report -i {os.path.relpath(data_path)}")


def demangled(text):
    if not shutil.which("swift"):
        return text
    command = ["swift", "demangle", "--compact", "--simplified"]
    ran = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    return ran.stdout or text
