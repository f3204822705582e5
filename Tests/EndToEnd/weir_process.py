"""One running Weir: its configuration, its logs, its descriptors and memory, and the books that must
balance when it stops."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from addresses import abstract_name, open_socket
from deadlines import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).resolve().parents[2]
BINARY = str(Path(os.environ.get("WEIR", ROOT / ".build/release/weir")).resolve())


def json_lines(path):
    """The complete lines of a log; each must be a JSON object."""
    if not os.path.isfile(path):
        return []
    data = Path(path).read_bytes()
    return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


class Weir:
    """`configuration` is a dictionary (JSON is YAML). Unless it says otherwise, both logs go to files in
    `folder`. The constructor returns when Weir serves."""

    def __init__(
        self, folder, configuration, arguments=(), environment=None, prefix=(), stdout=None, pass_fds=(),
        program=BINARY
    ):
        self.folder = Path(folder)
        self.configuration = configuration
        logs = configuration.setdefault("logs", {})
        logs.setdefault("access", str(self.folder / "access.log"))
        logs.setdefault("events", str(self.folder / "events.log"))
        self.access_path, self.events_path = logs["access"], logs["events"]
        self.configuration_path = self.folder / "weir.yaml"
        self.configuration_path.write_text(json.dumps(configuration, indent=1))
        self.error_path = self.folder / "stderr"
        self.is_stopped = False
        self.sockets = []
        #: Processes that took the place of the one before, each.
        self.successors = []
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = abstract_name()
        self._notifications.bind("\0" + name)
        variables = dict(os.environ, NOTIFY_SOCKET="@" + name)
        variables.update(environment or {})
        command = [*prefix, program, "run", "-c", str(self.configuration_path), *arguments]
        self.started_at = time.monotonic()
        with open(self.error_path, "wb") as errors:
            self.process = subprocess.Popen(
                command, env=variables, stdout=stdout or subprocess.DEVNULL, stderr=errors,
                stdin=subprocess.DEVNULL, pass_fds=pass_fds)
        try:
            assert b"READY=1" in self.notification().splitlines()
        except BaseException:
            self.kill()
            raise

    # -- While it runs

    @property
    def pid(self):
        """The one that serves."""
        return self.successors[-1] if self.successors else self.process.pid

    def upgrade(self, ask=None):
        """Has the program started anew, by `ask` or SIGUSR2; answers the event when the new process serves."""
        count = len(self.events("upgraded"))
        if ask:
            ask()
        else:
            self.signal(signal.SIGUSR2)
        event = self.wait_for_event("upgraded", count + 1)
        assert event["pid"] == self.pid
        self.successors.append(event["successor"])
        return event

    def notification(self, seconds=PATIENCE_SECONDS):
        """What it tells the service manager next (sd_notify(3))."""
        self._notifications.settimeout(0.05)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                return self._notifications.recv(4096)
            except TimeoutError:
                assert self.process.poll() is None, f"Weir ended: {self.error_path.read_text()}"
        raise AssertionError("Weir does not notify")

    def connect(self, listener=None, source=None, receive_buffer=None):
        """A client of a listener (the first one where none is named)."""
        listeners = self.configuration["listeners"]
        bind = listeners[listener or next(iter(listeners))]["bind"]
        return self.connect_to(bind if isinstance(bind, str) else bind[0], source, receive_buffer)

    def connect_to(self, text, source=None, receive_buffer=None):
        if text.startswith("unix:"):
            address = text[len("unix:"):]
        else:
            host, _, port = text.rpartition(":")
            address = (host.strip("[]"), int(port))
        client = self.keep(open_socket(address))
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            client.bind((source, 0))
        client.connect(address)
        return client

    def keep(self, sock):
        """Closes a socket when the test is over, before Weir is asked to stop."""
        self.sockets.append(sock)
        return sock

    def pair(self, backend, **options):
        """A client, and the connection that the listening socket `backend` gets for it."""
        client = self.connect(**options)
        server, _ = backend.accept()
        return client, self.keep(server)

    def events(self, name=None):
        return [event for event in json_lines(self.events_path) if name in (None, event["event"])]

    def wait_for_event(self, name, count=1):
        """The newest event of that name, when there are `count`."""
        return wait_until(lambda: self.events(name)[count - 1:], f"event {name}")[-1]

    def sessions(self):
        """The access records so far."""
        return json_lines(self.access_path)

    def wait_for_sessions(self, count):
        """The access records, when `count` sessions have ended."""
        return wait_until(lambda: (s := self.sessions())[count - 1:] and s, f"{count} access records")

    def wait_for_session(self):
        """The record of the only session."""
        (session,) = self.wait_for_sessions(1)
        return session

    def descriptors(self):
        return {int(name) for name in os.listdir(f"/proc/{self.pid}/fd")}

    def descriptor_count(self):
        return len(self.descriptors())

    def socket_count(self):
        return self._count("socket:")

    def pipe_end_count(self):
        return self._count("pipe:")

    def _count(self, kind):
        folder = f"/proc/{self.pid}/fd"
        count = 0
        for name in os.listdir(folder):
            try:
                count += os.readlink(f"{folder}/{name}").startswith(kind)
            except FileNotFoundError:
                pass
        return count

    def memory_bytes(self, field="Pss"):
        """Of /proc/PID/smaps_rollup."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M)[1]) * 1024

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number):
        if self.successors:
            os.kill(self.pid, number)
        else:
            self.process.send_signal(number)

    # -- The end

    def stop(self, seconds=PATIENCE_SECONDS):
        """Ends whatever the test left open, drains, and looks at the books."""
        for sock in self.sockets:
            sock.close()
        self.signal(signal.SIGTERM)
        return self.wait_for_end(seconds)

    def wait_for_end(self, seconds=PATIENCE_SECONDS):
        """Waits for a stop that was asked for. Answers the `stopped` event."""
        code = self.process.wait(seconds)
        self.is_stopped = True
        assert code == 0, f"exit code {code}: {self.error_path.read_text()}"
        for successor in self.successors:
            wait_until(lambda: has_ended(successor), f"process {successor} to end", seconds)
        assert self.error_path.read_text() == ""
        return self.check_books()

    def check_books(self):
        """Accepted = finished; finished = the sum over the reasons = the records written or dropped."""
        assert self.events("worker_failed") == []
        if not os.path.isfile(self.events_path):
            return None
        of_processes = self.events("stopped")
        assert sorted(s["pid"] for s in of_processes) == sorted([self.process.pid, *self.successors])
        for stopped in of_processes:
            assert stopped["accepted"] == stopped["sessions"]
            assert stopped["sessions"] == sum(stopped["reasons"].values())
        stopped = of_processes[0] if len(of_processes) == 1 else total(of_processes)
        if os.path.isfile(self.access_path) and "sample" not in self.configuration["logs"]:
            sessions = self.sessions()
            assert Path(self.access_path).read_bytes()[-1:] in (b"", b"\n")
            if self.configuration["logs"].get("format") != "text" and self.owns_access_log:
                dropped = stopped["log_records_dropped"]
                if self.serves_http:
                    # A record for each request, and none for a session without.
                    self.check_requests(sessions)
                    return stopped
                assert stopped["sessions"] - len(sessions) in range(0, dropped + 1)
                if dropped == 0:
                    assert stopped["bytes_in"] == sum(s["bytes_in"] for s in sessions)
                    assert stopped["bytes_out"] == sum(s["bytes_out"] for s in sessions)
        return stopped

    @property
    def serves_http(self):
        return any(l.get("mode") == "http" for l in self.configuration["listeners"].values())

    def check_requests(self, records):
        """Nothing that a request's record says contradicts the rest of it."""
        assert len({record["id"] for record in records}) == len(records)
        modes = {name: l.get("mode", "tcp") for name, l in self.configuration["listeners"].items()}
        for record in records:
            assert record["mode"] == modes[record["listener"]]
            if record["mode"] == "tcp":
                continue
            assert record["total_us"] >= record.get("first_byte_us", 0)
            if record["reason"] == "ok":
                assert "cause" not in record or record["attempts"] > 1, record
                assert 100 <= record["status"] < 600, record

    #: False once the log was rotated away: then the test counts.
    owns_access_log = True

    def kill(self):
        for successor in self.successors:
            if not has_ended(successor):
                os.kill(successor, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.is_stopped = True
        for sock in [*self.sockets, self._notifications]:
            sock.close()


def has_ended(pid):
    """Of a process that is no child of ours: whoever is its parent now may leave it a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def total(of_processes):
    """The `stopped` events of processes that followed each other, as if they had been one."""
    names = ("accepted", "sessions", "bytes_in", "bytes_out", "log_records_dropped")
    return {name: sum(event[name] for event in of_processes) for name in names}


def run_weir(*arguments, prefix=(), **options):
    """A command that ends by itself."""
    return subprocess.run(
        [*prefix, BINARY, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, **options)
