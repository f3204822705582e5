"""Redis behind Weir, spoken to by Redis' own tools."""

import re
import subprocess

import pytest

from addresses import free_port
from deadlines import wait_until


def redis_cli(port, *words):
    done = subprocess.run(
        ["redis-cli", "-h", "127.0.0.1", "-p", str(port), *words],
        capture_output=True, text=True, timeout=30)
    return done.stdout.strip()


def statistic(port, name):
    return int(re.search(rf"^{name}:(\d+)", redis_cli(port, "info", "stats"), re.M)[1])


@pytest.fixture(scope="module")
def redis_ports(tmp_path_factory):
    """Two Redis servers, of this module only."""
    ports, processes = [], []
    for _ in range(2):
        port = free_port()
        folder = tmp_path_factory.mktemp("redis")
        processes.append(
            subprocess.Popen(
                ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder),
                 "--save", "", "--appendonly", "no"],
                stdout=subprocess.DEVNULL))
        ports.append(port)
    try:
        for port in ports:
            wait_until(lambda: redis_cli(port, "ping") == "PONG", "redis answers")
        yield ports
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)


def test_redis_benchmark_and_redis_cli_through_weir_reach_both_servers(start_weir, redis_ports):
    before = [statistic(port, "total_connections_received") for port in redis_ports]
    weir = start_weir(*(f"127.0.0.1:{port}" for port in redis_ports))
    port = weir.configuration["listeners"]["front"]["bind"].rpartition(":")[2]

    benchmark = subprocess.run(
        ["redis-benchmark", "-h", "127.0.0.1", "-p", port, "-c", "50", "-n", "20000",
         "-t", "set,get,lpush,lrange_100", "-q"],
        capture_output=True, text=True, timeout=90)
    assert benchmark.returncode == 0 and "rror" not in benchmark.stdout + benchmark.stderr, benchmark
    assert benchmark.stdout.count("requests per second") >= 4

    run_ids = {redis_cli(port, "info", "server").partition("run_id:")[2][:40] for _ in range(4)}
    assert len(run_ids) == 2, "round robin takes turns"
    for redis_port in redis_ports:
        assert redis_cli(redis_port, "set", "greeting", "hello") == "OK"
    assert [redis_cli(port, "get", "greeting") for _ in range(4)] == ["hello"] * 4

    received = [
        statistic(port, "total_connections_received") - count for port, count in zip(redis_ports, before)
    ]
    assert min(received) >= 50, received
    weir.stop()
    assert {session["reason"] for session in weir.sessions()} <= {"ok", "client_reset"}
