"""`weir top` in a real terminal (tmux): it draws in place, follows what happens, and does what its keys say."""

import os
import re
import shutil
import subprocess

import pytest

from addresses import free_port
from admin_client import ask
from deadlines import PATIENCE_SECONDS, wait_until
from test_admin import start_admin  # noqa: F401, a fixture
from weir_process import BINARY, run_weir

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is missing (Debian: apt-get install tmux)")


class Terminal:
    """A window of tmux with one command in it."""

    def __init__(self, folder, *command, columns=130, rows=30):
        self.socket = str(folder / "tmux")
        self.tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
            # How the command ends stands on the screen: of a pane that is dead tmux does not always know it.
            "sh", "-c", 'trap : INT; "$@"; echo "ended with $?"; read -r line', "sh", *command)

    def tmux(self, *arguments):
        done = subprocess.run(
            ["tmux", "-S", self.socket, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS,
            env=dict(os.environ, LC_ALL="C.UTF-8"))
        assert done.returncode == 0, done
        return done.stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def wait_for(self, pattern):
        return wait_until(lambda: re.search(pattern, self.screen(), re.M), f"{pattern} on the screen")

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True)


@pytest.fixture
def terminal(short_folder):
    opened = []

    def new(*command, **options):
        opened.append(Terminal(short_folder, *command, **options))
        return opened[-1]

    yield new
    for terminal in opened:
        terminal.close()


@needs_tmux
def test_it_follows_what_happens_and_its_keys_work(start_admin, new_script, terminal):
    backends = []
    for name in ("one", "two"):
        address = new_script().server.listener.getsockname()
        backends.append({"name": name, "address": f"{address[0]}:{address[1]}", "weight": 9 if name == "two" else 1})
    weir = start_admin(*backends)
    web = weir.configuration["listeners"]["web"]["bind"]
    top = terminal(BINARY, "top", "--admin", weir.admin)
    top.wait_for(r"^weir \S+  serving")
    top.wait_for(r"^site +one .* healthy +1 +0 +0\.0")
    for _ in range(100):
        ask(web, "/")
    top.wait_for(r"^site +two .* healthy .*█")
    assert top.screen().count("LISTENER") == 1, "it draws in place"
    assert re.search(r"one.*\n.*two", top.screen())
    top.press("s")
    top.wait_for(r"now by rate")
    for _ in range(100):
        ask(web, "/")
    top.wait_for(r"two.*\n.*one")
    top.press("p")
    top.wait_for(r"p goes on")
    top.press("p", "q")
    top.wait_for(r"^ended with 0$")


@needs_tmux
def test_a_backend_is_selected_drained_and_enabled(start_admin, terminal):
    weir = start_admin(*({"name": name, "address": f"127.0.0.1:{port}"} for name, port in (("one", 1), ("two", 2))))
    top = terminal(BINARY, "top", "--admin", weir.admin)

    def state(name):
        (pool,) = ask(weir.admin, "/lb/backends").json()["pools"]
        return next(b["state"] for b in pool["backends"] if b["name"] == name)

    top.wait_for(r"arrows select a backend")
    top.press("d")
    top.wait_for(r"^no backend is selected")
    top.press("Down")
    top.wait_for(r"d drains site/one")
    top.press("Down")
    top.wait_for(r"d drains site/two, e enables it")
    top.press("Up", "Up", "Down", "d")
    top.wait_for(r"^drain two of pool site\? y does it")
    top.press("n")
    top.wait_for(r"d drains site/two")
    assert state("two") == "healthy"
    top.press("d", "y")
    top.wait_for(r"^backend two of pool site: draining, weight 1")
    top.wait_for(r"^site +two .* draining \d")
    top.wait_for(r"^not as in the file: site/two \(state\)")
    assert state("two") == "draining"
    top.press("e")
    top.wait_for(r"^enable two of pool site\?")
    top.press("y")
    top.wait_for(r"^backend two of pool site: enabled")
    top.wait_for(r"^site +two .* healthy ")
    assert state("one") == state("two") == "healthy"


@needs_tmux
def test_a_small_window_and_a_weir_that_goes(start_admin, terminal):
    weir = start_admin(*({"name": f"b{n}", "address": f"127.0.0.1:{n + 1}"} for n in range(100)))
    top = terminal(BINARY, "top", "--admin", weir.admin, columns=60, rows=12)
    top.wait_for(r"^site +b0 ")
    assert top.screen().splitlines()[0].startswith("q ends")
    weir.stop()
    top.wait_for(r"^no Weir answers at")
    top.press("C-c")
    top.wait_for(r"^ended with 0$")


def test_without_a_terminal_it_says_what_to_do(start_admin):
    weir = start_admin()
    failed = run_weir("top", "--admin", weir.admin)
    assert failed.returncode == 1 and "weir status" in failed.stderr
    nobody = run_weir("top", "--admin", f"127.0.0.1:{free_port()}")
    assert nobody.returncode == 1 and "no Weir answers" in nobody.stderr
