"""`weir status`: what it shows of a running Weir, where it looks, and what it says where there is none."""

import json
import re
import threading

import json_schema
from addresses import free_port
from admin_client import ask
from test_admin import OPENAPI, TOKEN, start_admin  # noqa: F401, a fixture
from weir_process import run_weir


def test_tables_have_everybody_with_state_and_rates(start_admin, new_script, refusing):
    address = new_script().server.listener.getsockname()
    weir = start_admin(
        {"name": "good", "address": f"{address[0]}:{address[1]}", "weight": 3},
        {"name": "dead", "address": refusing(), "weight": 2}, {"name": "spare", "address": "127.0.0.1:1", "backup": True})
    web = weir.configuration["listeners"]["web"]["bind"]
    enough = threading.Event()

    def load():
        while not enough.is_set():
            ask(web, "/")

    loader = threading.Thread(target=load)
    loader.start()
    try:
        done = run_weir("status", "-c", str(weir.configuration_path))
    finally:
        enough.set()
        loader.join()
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.replace(",", "").splitlines()
    assert re.match(r"weir \S+  serving  (io_uring|epoll) up ", lines[0])
    rows = {line.split()[0]: line.split() for line in lines if line.startswith("web")}
    listener = rows["web"]
    assert listener[1:3] == ["http", web] and float(listener[4]) > 0 and listener[5] == "0.0"
    assert all(re.fullmatch(r"[\d.]+(us|ms|s)", text) for text in listener[6:8])
    backends = {line.split()[1]: line.split() for line in lines if line.startswith("site")}
    assert backends["good"][3:5] == ["healthy", "3"] and float(backends["good"][6]) > 0
    assert backends["dead"][3] in ("healthy", "ejected") and backends["dead"][-1] == "-"
    assert backends["spare"][3:5] == ["healthy", "backup"]
    assert "\x1b" not in done.stdout
    weir.stop()


def test_json_is_what_the_admin_api_answers(start_admin):
    weir = start_admin()
    done = run_weir("status", "--admin", weir.admin, "--json")
    schema = OPENAPI["paths"]["/lb/stats"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    json_schema.check(json.loads(done.stdout), schema, OPENAPI)


def test_the_token_is_that_of_the_file_or_of_the_environment(start_admin):
    weir = start_admin(token=TOKEN, bind=f"127.0.0.1:{free_port()}")
    bind = weir.configuration["admin"]["bind"]
    assert run_weir("status", "-c", str(weir.configuration_path), "--json").returncode == 0
    refused = run_weir("status", "--admin", bind, "--json")
    assert refused.returncode == 1 and "answers 401" in refused.stderr
    done = run_weir("status", "--admin", bind, "--json", env={"WEIR_ADMIN_TOKEN": TOKEN})
    assert done.returncode == 0


def test_where_there_is_none_it_says_so(start_weir, backend, refusing, tmp_path):
    weir = start_weir(backend)
    without = run_weir("status", "-c", str(weir.configuration_path))
    assert without.returncode == 1 and "has no `admin`" in without.stderr
    for address in (refusing(), f"unix:{tmp_path}/none.sock"):
        failed = run_weir("status", "--admin", address)
        assert failed.returncode == 1 and failed.stderr.startswith(f"weir: no Weir answers at {address}: ")
    wrong = run_weir("status", "--admin", "somewhere")
    assert wrong.returncode == 1 and "is no address" in wrong.stderr


def test_somebody_else_at_the_address_is_no_weir(new_script):
    address = new_script().server.listener.getsockname()
    failed = run_weir("status", "--admin", f"{address[0]}:{address[1]}")
    assert failed.returncode == 1 and failed.stderr.startswith("weir: ")
