"""What every test gets: the engine to run on, a way to start Weir, and backends; and what every test
gives back. A host that forbids io_uring skips that half, and says so in one line."""

import json
import resource
import select
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from addresses import free_port, listen, open_socket, text_of
from http_peers import Script
from servers import Server
from weir_process import BINARY, Weir, run_weir

socket.setdefaulttimeout(30)


def pytest_configure(config):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if not Path(BINARY).exists():
        pytest.exit(f"there is no {BINARY}; build it, or name it in WEIR", 2)
    config.io_uring_obstacle = io_uring_obstacle()


def io_uring_obstacle():
    """Why `weir check` refuses `engine: io_uring` on this host; None where it does not."""
    configuration = {
        "engine": "io_uring",
        "listeners": {"a": {"bind": "127.0.0.1:1", "pool": "p"}},
        "pools": {"p": {"backends": ["127.0.0.1:2"]}},
    }
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(configuration, file)
        file.flush()
        check = run_weir("check", file.name)
    return None if check.returncode == 0 else check.stderr.strip()


def pytest_generate_tests(metafunc):
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", ["io_uring", "epoll"])


def pytest_collection_modifyitems(config, items):
    if config.io_uring_obstacle is None:
        return
    kept, left_out = [], []
    for item in items:
        engine = getattr(item, "callspec", None) and item.callspec.params.get("engine")
        (left_out if engine == "io_uring" else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)
    config.io_uring_left_out = len(left_out)


def pytest_terminal_summary(terminalreporter, config):
    if config.io_uring_obstacle is not None:
        terminalreporter.write_line(
            f"*** {getattr(config, 'io_uring_left_out', 0)} TESTS ON io_uring WERE SKIPPED, "
            f"THIS HOST FORBIDS IT: {config.io_uring_obstacle} ***",
            red=True, bold=True)
    for line in getattr(config, "measurements", []):
        terminalreporter.write_line(f"measured: {line}")


@pytest.fixture
def measured(request):
    """Puts a figure into the summary."""
    config = request.config
    config.measurements = getattr(config, "measurements", [])
    name = request.node.name
    return lambda text: config.measurements.append(f"{name}: {text}")


@pytest.fixture
def start_weir(engine, tmp_path):
    """Starts Weir with one listener in front of `backends` (listening sockets, servers or addresses), or
    with a whole `configuration`; stops it at the end and checks its books."""
    started = []

    def start(*backends, configuration=None, listener=None, pool=None, **options):
        if configuration is None:
            configuration = {
                "workers": 1,
                "listeners": {
                    "front": {"bind": f"127.0.0.1:{free_port()}", "pool": "back", **(listener or {})}
                },
                "pools": {"back": {"backends": [address_of(b) for b in backends], **(pool or {})}},
            }
            for key in ("workers", "limits", "logs", "alerts"):
                if key in options:
                    configuration[key] = options.pop(key)
        configuration["engine"] = engine
        folder = tmp_path / f"weir-{len(started)}"
        folder.mkdir()
        weir = Weir(folder, configuration, **options)
        started.append(weir)
        return weir

    yield start
    try:
        for weir in started:
            if not weir.is_stopped:
                weir.stop()
    finally:
        for weir in started:
            weir.kill()


@pytest.fixture
def start_http(start_weir):
    """As `start_weir`, with the listener in http mode."""

    def start(*backends, listener=None, **options):
        return start_weir(*backends, listener={"mode": "http", **(listener or {})}, **options)

    return start


@pytest.fixture
def new_script(new_server):
    """A backend that answers as a function says: its `Script`, which has the server as `server`."""

    def new(answer=None, address=None):
        script = Script(answer)
        script.server = new_server(script, address)
        return script

    return new


def address_of(backend):
    """What a pool's list of backends says: a socket or a server by its address, all else as it is."""
    if isinstance(backend, Script):
        backend = backend.server
    if isinstance(backend, Server):
        backend = backend.listener
    if isinstance(backend, socket.socket):
        return text_of(backend.getsockname())
    return backend


@pytest.fixture
def new_backend(request):
    """Listening sockets for a test that accepts by itself."""

    def new(address=None, **options):
        listener = listen(address or ("127.0.0.1", free_port()), **options)
        request.addfinalizer(listener.close)
        return listener

    return new


@pytest.fixture
def backend(new_backend):
    return new_backend()


@pytest.fixture
def new_server(request):
    """Backends that serve by themselves."""

    def new(serve, address=None):
        server = Server(address or ("127.0.0.1", free_port()), serve)
        request.addfinalizer(server.close)
        return server

    return new


@pytest.fixture
def refusing(request):
    """Addresses that refuse connections, and stay so: bound, and nobody listens."""

    def new():
        sock = socket.socket()
        sock.bind(("127.0.0.1", free_port()))
        request.addfinalizer(sock.close)
        return text_of(sock.getsockname())

    return new


@pytest.fixture
def unanswering():
    """Addresses that neither accept nor refuse: their queue of connections is full."""
    kept = []

    def new():
        listener = listen(("127.0.0.1", free_port()), backlog=0)
        kept.append(listener)
        while True:
            filler = open_socket(listener.getsockname())
            kept.append(filler)
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            if not select.select([], [filler], [], 0.2)[1]:
                return text_of(listener.getsockname())

    yield new
    for sock in kept:
        sock.close()


@pytest.fixture
def short_folder():
    """A folder whose path is short enough for unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="weir"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
