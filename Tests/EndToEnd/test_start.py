"""Weir starts with all that it was asked for, or not at all, and says what is wrong and what to do."""

import os
import re
import resource
import socket
import subprocess
import time

import pytest

from addresses import free_port, listen, text_of
from weir_process import BINARY, run_weir

GOOD = """
listeners:
  front: {{ bind: "127.0.0.1:{port}", mode: tcp, pool: back }}
pools:
  back: {{ backends: ["127.0.0.1:9"] }}
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="weir.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def nobody_listens(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def assert_refuses_to_start(done, *parts):
    assert done.returncode == 1, done
    assert done.stdout == ""
    for part in parts:
        assert part in done.stderr, done.stderr


def test_a_port_in_use_names_listener_address_and_remedy(write):
    with listen(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        done = run_weir("run", "-c", write(GOOD.format(port=port)))
        assert_refuses_to_start(
            done, "listener front", f"127.0.0.1:{port}", "Address already in use", "ss -ltnp")


def test_a_second_weir_does_not_share_a_port_in_silence(start_weir, backend, write):
    weir = start_weir(backend)
    done = run_weir("run", "-c", str(weir.configuration_path))
    assert_refuses_to_start(
        done, "listener front", weir.configuration["listeners"]["front"]["bind"],
        "Address already in use")


def test_a_unix_socket_that_somebody_serves_is_not_taken_away(write, short_folder, new_backend):
    path = short_folder / "taken"
    backend = new_backend(str(path))
    text = GOOD.format(port=1).replace("127.0.0.1:1", f"unix:{path}")
    done = run_weir("run", "-c", write(text))
    assert_refuses_to_start(done, "listener front", str(path), "another process")
    assert path.exists()
    # The attempt looked whether anybody is there; that is all that the other one has seen of it.
    backend.accept()[0].close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_plain_file_in_the_place_of_a_unix_socket_stays(write, tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    done = run_weir("run", "-c", write(GOOD.format(port=1).replace("127.0.0.1:1", f"unix:{path}")))
    assert_refuses_to_start(done, "listener front", str(path))
    assert path.read_text() == "precious"


def test_one_address_that_fails_binds_none(write):
    free = free_port()
    with listen(("127.0.0.1", free_port())) as taken:
        text = f"""
listeners:
  first: {{ bind: "127.0.0.1:{free}", pool: back }}
  second: {{ bind: "{text_of(taken.getsockname())}", pool: back }}
pools:
  back: {{ backends: ["127.0.0.1:9"] }}
"""
        assert_refuses_to_start(run_weir("run", "-c", write(text)), "listener second")
    assert nobody_listens(free)


@pytest.mark.parametrize("cause", ["bind", "worker"])
def test_a_start_that_fails_leaves_no_unix_socket_behind(write, short_folder, cause):
    path = short_folder / "front"
    text = GOOD.format(port=1).replace("127.0.0.1:1", f"unix:{path}")
    if cause == "bind":
        text = text.replace("listeners:", 'listeners:\n  other: { bind: "192.0.2.1:1", pool: back }')
        # In the order of the file: the unix socket first.
        head, other, front, *rest = text.strip().splitlines()
        text = "\n".join([head, front, other, *rest])
        done = run_weir("run", "-c", write(text))
        assert_refuses_to_start(done, "listener other")
    else:
        # More workers than there are descriptors for.
        done = run_weir("run", "-c", write("workers: 64\n" + text), prefix=["prlimit", "--nofile=32:32"])
        assert done.returncode == 1, done
    assert not path.exists()


def test_more_sockets_than_systemd_may_hand_over_are_an_error(write):
    path = write(GOOD.format(port=free_port()))
    script = 'LISTEN_FDS=2000 LISTEN_PID=$$ exec "$@"'
    done = run_weir("run", "-c", path, prefix=["bash", "-c", script, "sh"])
    assert_refuses_to_start(done, "LISTEN_FDS", "2000", "1024")


def test_an_unknown_address_says_where_to_look(write):
    text = GOOD.format(port=1234).replace("127.0.0.1:1234", "192.0.2.1:1234")
    done = run_weir("run", "-c", write(text))
    assert_refuses_to_start(done, "listener front", "192.0.2.1:1234", "ip address")


@pytest.mark.parametrize("key", ["access", "events"])
def test_a_log_that_cannot_be_opened_names_key_and_path(write, key):
    port = free_port()
    text = GOOD.format(port=port) + f"logs: {{ {key}: /nonexistent/folder/weir.log }}\n"
    done = run_weir("run", "-c", write(text))
    assert_refuses_to_start(
        done, f"logs.{key}", "/nonexistent/folder/weir.log", "No such file or directory", "check")
    assert nobody_listens(port)


def test_a_host_name_that_leads_nowhere_names_pool_and_backend(write):
    done = run_weir("run", "-c", write(GOOD.format(port=free_port()).replace("127.0.0.1:9", "no.invalid:9")))
    assert_refuses_to_start(done, "pool back", "no.invalid")


@pytest.mark.parametrize("command", [["run", "-c"], ["check"]])
def test_all_errors_of_a_file_are_printed_at_once_and_nothing_starts(write, command):
    port = free_port()
    text = f"""workerz: 2
listeners:
  front:
    bind: "127.0.0.1:{port}"
    mode: tcp
    pool: bakc
    timeouts: {{ idle: 5 parsecs }}
pools:
  back:
    balance: round_robbin
    backends: ["127.0.0.1:9", "127.0.0.1:99999"]
"""
    path = write(text)
    done = run_weir(*command, path)
    assert_refuses_to_start(
        done, f"{path}:1:1: error: ", "workerz", "did you mean `workers`?",
        f"{path}:6:11: error: ", "did you mean `back`?",
        f"{path}:7:23: error: ",
        f"{path}:10:14: error: ", "did you mean `round_robin`?",
        f"{path}:11:", "127.0.0.1:99999", "^~~~")
    assert done.stderr.count(" error: ") == 5
    assert nobody_listens(port)


@pytest.mark.parametrize("command", [["run", "-c"], ["check"]])
def test_a_missing_file_is_named(command, tmp_path):
    done = run_weir(*command, str(tmp_path / "none.yaml"))
    assert_refuses_to_start(done, "none.yaml", "No such file or directory")


def test_no_file_at_all_says_where_it_was_sought(tmp_path):
    if os.path.exists("/etc/weir/weir.yaml"):
        pytest.skip("this host has a configuration in /etc")
    done = run_weir("run", cwd=tmp_path)
    assert_refuses_to_start(done, "weir.yaml", "/etc/weir/weir.yaml", "-c FILE", "weir demo")


def test_an_unknown_option_or_command_is_refused_with_a_guess(tmp_path):
    done = run_weir("run", "--drain-timout", "5")
    assert done.returncode != 0 and "--drain-timout" in done.stderr and "--help" in done.stderr
    done = run_weir("rum")
    assert done.returncode == 2 and "did you mean `run`?" in done.stderr
    done = run_weir("run", "--drain-timeout", "soon")
    assert done.returncode != 0 and "--drain-timeout" in done.stderr and "soon" in done.stderr


def test_help_and_version_fit_a_screen():
    commands = re.findall(r"^  (\w+) {2,}", run_weir("--help").stdout, re.M)
    assert {"run", "tail", "completions"} <= set(commands)
    for words in ([], *([command] for command in commands)):
        done = run_weir(*words, "--help")
        assert done.returncode == 0 and done.stderr == ""
        assert "Example" in done.stdout and len(done.stdout.splitlines()) <= 24
        assert max(map(len, done.stdout.splitlines())) <= 100
    done = run_weir("--version")
    assert done.returncode == 0 and done.stdout.startswith("weir ")


def test_check_prints_the_engine_and_the_memory(engine, write):
    done = run_weir("check", write(f"engine: {engine}\n" + GOOD.format(port=1)))
    assert done.returncode == 0, done.stderr
    assert f"# engine: {engine} (" in done.stdout
    assert "# memory: at most" in done.stdout and "in full pipes" in done.stdout
    assert "# descriptors: " in done.stdout
    assert "connect: 5s" in done.stdout, "defaults are filled in"


def test_the_first_event_says_which_engine_and_why(start_weir, backend, engine):
    weir = start_weir(backend)
    starting, listening = weir.events()[:2]
    assert starting["event"] == "starting" and listening["event"] == "listening"
    assert starting["engine"] == engine and starting["engine_why"]
    assert starting["pid"] == weir.pid and starting["workers"] == 1
    assert listening["listener"] == "front" and listening["pool"] == "back"
    assert listening["addresses"] == weir.configuration["listeners"]["front"]["bind"]


def test_environment_variables_in_the_file(start_weir, backend):
    host, port = backend.getsockname()
    weir = start_weir(
        "${BACKEND_HOST}:${BACKEND_PORT:-1}",
        environment={"BACKEND_HOST": host, "BACKEND_PORT": str(port)})
    weir.pair(backend)


def test_from_start_to_listening(start_weir, refusing, measured):
    """Prints what it takes; a busy host must not fail it."""
    weir = start_weir(refusing())
    weir.stop()
    address = ("127.0.0.1", int(weir.configuration["listeners"]["front"]["bind"].rpartition(":")[2]))
    taken = []
    for _ in range(9):
        started = time.monotonic()
        process = subprocess.Popen(
            [BINARY, "run", "-c", str(weir.configuration_path)], stdout=subprocess.DEVNULL)
        while True:
            assert process.poll() is None and time.monotonic() < started + 20
            with socket.socket() as sock:
                if sock.connect_ex(address) == 0:
                    taken.append(time.monotonic() - started)
                    break
        process.terminate()
        assert process.wait(20) == 0
    taken.sort()
    measured(f"start to listening {taken[len(taken) // 2] * 1000:.1f} ms (median of {len(taken)})")
    assert taken[0] < 1


HTTP = """
workers: 2
limits: {{ sessions: 100000 }}
listeners:
  web:
    bind: "127.0.0.1:1"
    mode: http
    timeouts: {{ request_head: 7s, response_head: 8s, tunnel: 9m }}
    routes:
      - {{ match: {{ path: /a/*, method: GET }}, pool: kept }}
      - {{ match: {{ host: b.example, headers: {{ x-c: any }} }}, respond: {{ status: 204 }} }}
  cache: {{ bind: "127.0.0.1:2", pool: unkept }}
pools:
  kept: {{ backends: ["127.0.0.1:9"], keep_alive: {{ idle: {idle} }} }}
  unkept: {{ backends: ["127.0.0.1:9"], keep_alive: {{ idle: 1000 }} }}
"""


def check_within(descriptors, path):
    limit = (descriptors, descriptors)
    return run_weir("check", path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit)).stdout


def test_check_prints_routes_and_timeouts_of_http_listeners(write):
    done = run_weir("check", write(HTTP.format(idle=64)))
    assert done.returncode == 0, done.stderr
    for line in (
        "# listener web: 2 routes\n", "#   1. path /a/*, method GET -> pool kept\n",
        "#   2. host b.example, header x-c: any -> respond with status 204\n", "#   else -> 404\n",
        "408 after 7s without a whole head", "504 after 8s without a response", "tunnels after 9m",
        "more while it has a request",
    ):
        assert line in done.stdout, done.stdout


def test_idle_connections_to_backends_leave_fewer_sessions(write):
    """Of http listeners' pools, for each worker: not of a pool that only a tcp listener uses."""
    sessions = {}
    for idle in (0, 200):
        text = check_within(2000, write(HTTP.format(idle=idle)))
        sessions[idle] = int(re.search(r"sessions: (\d+) at most", text)[1])
        assert (f"{2 * idle} for idle connections" in text) == (idle > 0), text
        parts = re.search(r"# descriptors: (\d+) allowed; (.*)", text)
        assert sum(map(int, re.findall(r"(\d+) for", parts[2]))) <= int(parts[1]) == 2000
    assert 0.8 * 200 < sessions[0] - sessions[200] <= 200
