"""The scripts of `weir completions` in the shells that they are for: a line is typed at a terminal, Tab
pressed, and the line that the shell makes of it is run."""

import os
import pty
import re
import select
import shutil
import signal
import time

import pytest

from deadlines import PATIENCE_SECONDS
from test_manual import rows
from weir_process import BINARY, run_weir

CONFIGURATION = """
listeners:
  web: { bind: "127.0.0.1:1", pool: first }
pools:
  first: { backends: [127.0.0.1:9001, { name: large, address: "127.0.0.1:9002" }] }
  second: { backends: [127.0.0.1:9001, "unix:/run/b"] }
"""
OTHER = "listeners: { front: { bind: '127.0.0.1:1', pool: p } }\npools: { p: { backends: ['127.0.0.1:2'] } }\n"

# `weir` as it is typed is a function that shows its words; completing asks the program.
POSIX_FUNCTION = """
weir() { if [ "$1" = completions ]; then command weir "$@"; else printf 'GOT<%s>\\n' "$*"; fi; }
"""
FISH_FUNCTION = """
function weir; if test "$argv[1]" = completions; command weir $argv; else; printf 'GOT<%s>\\n' "$argv"; end; end
function fish_prompt; printf 'READY> '; end
function fish_greeting; end
"""


def start_up(shell, folder):
    """(command, environment) of an interactive shell with nothing but the completions."""
    script = folder / f"completions.{shell}"
    script.write_text(run_weir("completions", shell).stdout)
    if shell == "bash":
        rc = folder / "rc"
        rc.write_text(f"PS1='READY> '\nbind 'set enable-bracketed-paste off'\n{POSIX_FUNCTION}\n. {script}\n")
        return ["bash", "--noprofile", "--rcfile", str(rc), "-i"], {}
    if shell == "zsh":
        (folder / ".zshrc").write_text(
            f"PS1='READY> '\nautoload -U compinit\ncompinit -D -u\n{POSIX_FUNCTION}\n. {script}\n")
        return ["zsh", "-d", "-i"], {"ZDOTDIR": str(folder)}
    rc = folder / "rc.fish"
    rc.write_text(f"{FISH_FUNCTION}\nsource {script}\n")
    return ["fish", "--no-config", "-i", "-C", f"source {rc}"], {}


class Terminal:
    def __init__(self, shell, folder):
        command, variables = start_up(shell, folder)
        work = folder / "work"
        work.mkdir()
        (work / "weir.yaml").write_text(CONFIGURATION)
        (work / "other.yaml").write_text(OTHER)
        (work / "two words.log").write_text("")
        path = folder / "bin"
        path.mkdir()
        (path / "weir").symlink_to(BINARY)
        environment = {
            "HOME": str(folder), "TERM": "vt100", "LC_ALL": "C.UTF-8", "PATH": f"{path}:{os.environ['PATH']}"}
        self.pid, self.control = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(work)
                os.execvpe(command[0], command, environment | variables)
            finally:
                os._exit(127)
        self.shown = b""
        self.read_until(rb"READY> ")

    def read_until(self, pattern):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (match := re.search(pattern, self.shown)):
            assert time.monotonic() < deadline, self.shown
            if select.select([self.control], [], [], 0.2)[0]:
                self.shown += os.read(self.control, 65536)
        self.shown = self.shown[match.end():]
        return match

    def complete(self, line):
        """The words that the command gets when Tab and Return follow."""
        os.write(self.control, line.encode() + b"\t\r")
        words = self.read_until(rb"GOT<(.*?)>")[1].decode()
        self.read_until(rb"READY> ")
        return words

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.control)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_tab_completes_commands_options_files_and_names(shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    terminal = Terminal(shell, tmp_path)
    try:
        for typed, words in (
            ("weir che", "check"),
            ("weir run --drain", "run --drain-timeout"),
            ("weir explain --lis", "explain --listener"),
            ("weir check oth", "check other.yaml"),
            ("weir tail two", "tail two words.log"),
            ("weir run -c oth", "run -c other.yaml"),
            ("weir run --config=oth", "run --config=other.yaml"),
            ("weir tail --pool sec", "tail --pool second"),
            ("weir tail --json --backend lar", "tail --json --backend large"),
            ("weir tail --backend 127.0.0.1:90", "tail --backend 127.0.0.1:9001"),
            ("weir explain --listener w", "explain --listener web"),
            ("weir explain -c other.yaml --listener f", "explain -c other.yaml --listener front"),
            ("weir explain --json -c other.yaml DEL", "explain --json -c other.yaml DELETE"),
            ("weir explain GET DEL", "explain GET DEL"),
            ("weir backend dra", "backend drain"),
            ("weir backend drain sec", "backend drain second"),
            ("weir backend drain --timeout 5 first lar", "backend drain --timeout 5 first large"),
        ):
            assert terminal.complete(typed) == words, typed
    finally:
        terminal.close()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_option_of_the_help_is_in_the_script(shell):
    script = run_weir("completions", shell).stdout
    overview = run_weir("--help").stdout
    commands = re.findall(r"^  (\w+) {2,}", overview, re.M)
    assert "run" in commands and "completions" in commands
    for command in commands:
        assert re.search(rf"\b{command}\b", script), command
        options = " ".join(rows(run_weir(command, "--help").stdout))
        for option in re.findall(r"(?<![\w-])--?([a-zA-Z][\w-]*)", options):
            assert re.search(rf"(-|-l |-s ){option}\b", script), (command, option)


def test_names_are_those_of_the_file(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text(CONFIGURATION)
    for kind, names in (
        ("listeners", ["web"]), ("pools", ["first", "second"]),
        ("backends", ["127.0.0.1:9001", "large", "unix:/run/b"]),
    ):
        done = run_weir("completions", kind, "-c", str(file))
        assert (done.returncode, done.stdout.splitlines()) == (0, names)
    done = run_weir("completions", "fisch")
    assert done.returncode == 1 and "did you mean `fish`?" in done.stderr
