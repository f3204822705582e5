"""A running `weir tail`: its output as it comes, through a pipe or on a terminal of a given size."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

from deadlines import PATIENCE_SECONDS, wait_until
from weir_process import BINARY

#: Colours, and how figures are drawn in place.
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Tail:
    """Collects what `weir tail ARGUMENTS` writes. `close` ends it where it did not end."""

    def __init__(self, *arguments, stdin=subprocess.DEVNULL, environment=None):
        self.data = b""
        self.process = subprocess.Popen(
            [BINARY, "tail", *map(str, arguments)], stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment)
        self._collect(self.process.stdout.fileno())

    def _collect(self, descriptor):
        def run():
            while True:
                try:
                    chunk = os.read(descriptor, 1 << 16)
                except OSError:
                    # A terminal whose last user is gone.
                    return
                if not chunk:
                    return
                self.data += chunk

        self._reader = threading.Thread(target=run, daemon=True)
        self._reader.start()

    def lines(self):
        """The complete lines so far."""
        return self.data[: self.data.rfind(b"\n") + 1].decode().splitlines()

    def wait_for_lines(self, count):
        wait_until(lambda: len(self.lines()) >= count, f"{count} lines of weir tail")
        assert len(self.lines()) == count, self.lines()
        return self.lines()

    def wait_for(self, text):
        wait_until(lambda: text in self.data.decode(errors="replace"), f"weir tail to show {text!r}")

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def wait_for_end(self):
        """Answers its lines."""
        assert self.process.wait(PATIENCE_SECONDS) == 0
        self._reader.join(PATIENCE_SECONDS)
        return self.data.decode().splitlines()

    def close(self):
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


class TailOnTerminal(Tail):
    """The same with a keyboard and a screen."""

    def __init__(self, *arguments, columns=100, rows=24, environment=None):
        self.data = b""
        self.master, self.terminal = pty.openpty()
        self.resize(columns, rows)
        self.settings_before = termios.tcgetattr(self.terminal)
        self.process = subprocess.Popen(
            [BINARY, "tail", *map(str, arguments)], stdin=self.terminal, stdout=self.terminal,
            stderr=self.terminal, env={**os.environ, "TERM": "xterm", **(environment or {})},
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self._collect(self.master)

    def resize(self, columns, rows):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.master, keys)

    def wait_for_keyboard(self):
        """Until it listens to single keys."""
        wait_until(
            lambda: not termios.tcgetattr(self.terminal)[3] & termios.ICANON, "weir tail to take the keyboard")

    def wait_for_end(self):
        assert self.process.wait(PATIENCE_SECONDS) == 0
        assert termios.tcgetattr(self.terminal) == self.settings_before, "the terminal is as it was"
        return self.lines()

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)
        self._reader.join(PATIENCE_SECONDS)
        os.close(self.master)
