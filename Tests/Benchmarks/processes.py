"""Processes that the benchmark starts, where they run, and what they cost.

Each one gets a process group of its own and is killed with it, also when the benchmark dies. CPU time and
memory are read from /proc for the whole group, so that masters, workers and kernel threads that work for
them (io_uring's io-wq threads are tasks of the process) all count.
"""

import contextlib
import ctypes
import errno
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def say(text):
    print(text, file=sys.stderr, flush=True)


class BenchError(Exception):
    """Something that makes one run, or all of them, worthless."""


@dataclass
class Cores:
    """The proxy has one core for itself; load generator, origin and this script share the other."""

    proxy: int
    load: int

    @staticmethod
    def take():
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise BenchError(
                "the benchmark needs two cores, one for the proxy and one for the load generator and the"
                f" origin; this process may use {len(allowed)}"
            )
        os.sched_setaffinity(0, {allowed[1]})
        return Cores(proxy=allowed[0], load=allowed[1])


def raise_descriptor_limit():
    """Raises the soft limit to the hard one (children inherit it) and returns it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = 20000 if hard == resource.RLIM_INFINITY else min(hard, 20000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def io_uring_forbidden():
    """True where a seccomp filter, a sysctl or an old kernel takes io_uring away from this process."""
    io_uring_setup = 425
    library = ctypes.CDLL(None, use_errno=True)
    # No entries: EINVAL where the call is allowed.
    library.syscall(io_uring_setup, 0, None)
    return ctypes.get_errno() in (errno.EPERM, errno.ENOSYS)


@dataclass
class Usage:
    """CPU time of one or more processes since they began."""

    # What the scheduler accounted to all tasks, ended ones included. Nanoseconds, exact.
    nanoseconds: int = 0
    # The same from /proc/PID/task/*/schedstat, living tasks only, and how long they waited for their core.
    schedstat_nanoseconds: int = 0
    wait_nanoseconds: int = 0
    # The same from /proc/PID/stat, in clock ticks, ended tasks included.
    user_ticks: int = 0
    system_ticks: int = 0
    processes: frozenset = frozenset()

    def __sub__(self, other):
        return Usage(
            self.nanoseconds - other.nanoseconds,
            self.schedstat_nanoseconds - other.schedstat_nanoseconds,
            self.wait_nanoseconds - other.wait_nanoseconds,
            self.user_ticks - other.user_ticks,
            self.system_ticks - other.system_ticks,
            self.processes,
        )


class Guard:
    """A process that outlives this script, however that ends, to kill what it started and remove its files."""

    def __init__(self, directory):
        self.directory = directory
        read_end, self.write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.write_end)
            try:
                self.watch(read_end)
            finally:
                os._exit(0)
        os.close(read_end)

    def watch(self, read_end):
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        groups = set()
        with os.fdopen(read_end) as lines:
            # Ends when the script does: nobody else holds the other end of the pipe.
            for line in lines:
                what, group = line.split()
                (groups.add if what == "begun" else groups.discard)(int(group))
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def tell(self, what, group):
        os.write(self.write_end, f"{what} {group}\n".encode())

    def close(self):
        os.close(self.write_end)
        os.waitpid(self.pid, 0)


class Child:
    """A started program and whatever it starts in its process group."""

    living = []
    guard = None

    def __init__(self, name, command, cores, directory):
        self.name = name
        self.log_path = os.path.join(directory, f"{name.replace(' ', '-')}.log")
        # Children inherit the affinity of the moment; so no wrapper or callback delays the start.
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)
        try:
            with open(self.log_path, "wb") as log:
                self.spawned_at = time.monotonic()
                self.process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except FileNotFoundError as error:
            raise BenchError(f"cannot start {name}: {error}") from error
        finally:
            os.sched_setaffinity(0, own)
        Child.living.append(self)
        Child.guard.tell("begun", self.pid)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def members(self):
        """Process ids of the group."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    if int(stat_fields(entry)[2]) == self.pid:
                        found.append(int(entry))
        return found

    def usage(self):
        total = Usage(processes=frozenset(self.members()))
        for pid in total.processes:
            add_usage(total, pid)
        return total

    def memory_bytes(self):
        """Proportional set size of the group: resident pages, shared ones counted by share."""
        kibibytes = 0
        for pid in self.members():
            with open(f"/proc/{pid}/smaps_rollup") as file:
                kibibytes += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        return kibibytes * 1024

    def wait_until_listening(self, address, within_seconds=10):
        """Polls with connects; returns the seconds from the start of the program to the first that succeeds."""
        deadline = self.spawned_at + within_seconds
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(address) == 0:
                    return time.monotonic() - self.spawned_at
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended at once:\n{self.log()[-2000:]}")
            time.sleep(0.0002)
        raise BenchError(f"{self.name} does not listen on {address} after {within_seconds} s:\n{self.log()[-2000:]}")

    def stop(self, within_seconds=3):
        """Ends the group, gently first. Returns the exit status of the program, None where it had to be killed."""
        if self not in Child.living:
            return self.process.returncode
        status = None
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self.process.wait(within_seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        Child.living.remove(self)
        Child.guard.tell("ended", self.pid)
        return status

    @classmethod
    def stop_all(cls):
        for child in list(cls.living):
            child.stop()


def stat_fields(pid):
    """Fields of /proc/PID/stat from the third (state) on."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()


def add_usage(total, pid):
    # CLOCK_PROCESS_CPUTIME_ID of another process, as clock_getcpuclockid(3) makes it: the sum of what
    # schedstat shows for each task, plus the tasks that have ended.
    total.nanoseconds += time.clock_gettime_ns((~pid << 3) | 2)
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError):
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                ran, waited, _ = map(int, file.read().split())
            total.schedstat_nanoseconds += ran
            total.wait_nanoseconds += waited
    fields = stat_fields(pid)
    total.user_ticks += int(fields[11])
    total.system_ticks += int(fields[12])


def busy_seconds(cores):
    """CPU time that both cores spent on anything, and time that the hypervisor took away."""
    total = 0
    with open("/proc/stat") as file:
        for line in file:
            name, *values = line.split()
            if name in (f"cpu{cores.proxy}", f"cpu{cores.load}"):
                user, nice, system, _, _, irq, softirq, steal = map(int, values[:8])
                total += user + nice + system + irq + softirq + steal
    return total * TICK_SECONDS


def own_seconds():
    """CPU time of this script and of the children that it has waited for."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


class Addresses:
    """Loopback addresses in turn: the TIME_WAIT of one run never stands in the way of the next."""

    COUNT = 16

    def __init__(self):
        self.turn = 0
        self.proxy_port, self.origin_port, self.bench_origin_port = self.free_ports(3)

    @staticmethod
    def free_ports(count):
        # Below the range that the kernel takes client ports from.
        ports = []
        candidates = random.sample(range(20000, 30000), 200)
        for port in candidates:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("0.0.0.0", port))
                ports.append(port)
            if len(ports) == count:
                return ports
        raise BenchError("no free ports between 20000 and 30000")

    def next(self):
        """(address for the proxy, address of the origin)"""
        self.turn = self.turn % self.COUNT + 1
        return (f"127.0.1.{self.turn}", self.proxy_port), (f"127.0.2.{self.turn}", self.origin_port)

    def bench_origin(self):
        """The address of weir-bench as origin that belongs to the last `next`."""
        return f"127.0.4.{self.turn}", self.bench_origin_port

    def origin_addresses(self):
        return [(f"127.0.2.{turn}", self.origin_port) for turn in range(1, self.COUNT + 1)]


def wait_for_time_wait(below=60000, within_seconds=70):
    """Connections in TIME_WAIT use up ports and make every lookup dearer: let them go before more are made."""
    deadline = time.monotonic() + within_seconds
    while time_wait_count() > below and time.monotonic() < deadline:
        time.sleep(1)


def time_wait_count():
    with open("/proc/net/sockstat") as file:
        for line in file:
            words = line.split()
            if words[0] == "TCP:":
                return int(words[words.index("tw") + 1])
    return 0
