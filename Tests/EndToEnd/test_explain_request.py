"""`weir explain --request` says in words what became of a request, out of the running Weir or out of a log."""

import json
import re

import pytest

from deadlines import wait_until
from test_recent_log import request, start_web, wait_for  # noqa: F401, a fixture
from weir_process import ROOT, run_weir


def explain(*arguments, code=0, **options):
    done = run_weir("explain", "--request", *arguments, **options)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


@pytest.mark.parametrize("form", ["json", "text"])
def test_of_a_running_weir(start_web, form):
    weir = start_web(format=form)
    if form == "text":
        weir.events_path = "/dev/null"
    request(weir, "/ping", **{"User-Agent": "<b>\xe2\x80\xae"})
    request(weir, "/lost", **{"x-request-id": "mine 1"})
    log = wait_for(weir, 2)
    lines = [record if form == "text" else f"id={record['id']} " for record in log["records"]]
    ids = [re.search(r"\bid=([0-9a-f]{16}) ", line)[1] for line in lines]
    told = explain(ids[0], "--admin", weir.admin)
    assert told.startswith(f"request   GET {weir.at['web']}/ping HTTP/1.1 from 127.0.0.1:")
    assert f"id {ids[0]}\n" in told and "route     1, in the order of the file\n" in told
    assert "answer    status 200, " in told and "reason    ok: " in told and "user agent <b>\\u202e\n" in told
    assert explain(ids[0], "-c", str(weir.configuration_path)) == told
    # The file has a record a moment later.
    wait_until(lambda: all(id in open(weir.access_path).read() for id in ids), "both records in the log")
    assert explain(ids[0], "--log", weir.access_path) == told
    told = explain(ids[1], "--admin", weir.admin)
    assert "route     none: the pool is the listener's own\n" in told
    assert "pool      site: round_robin, 1 backend\n" in told and "choice    a\n" in told
    assert "no_backend: no backend could be reached\n          cause connect_refused: nobody listens there\n" in told
    if form == "json":
        assert explain(ids[1], "--admin", weir.admin, "--json") in open(weir.access_path).read()


def test_what_is_not_there(start_web, tmp_path):
    weir = start_web(sample="5%")
    missing = explain("0123", "--admin", weir.admin, code=1)
    assert "no record of `0123`: the running Weir has the last 0 in memory." in missing
    assert "only 5% is recorded" in missing and "--log FILE" in missing
    request(weir, "/ill")
    oldest = wait_for(weir, 1)["oldest"]
    # The id of nothing, though it is in a record.
    assert f"the last 1 in memory, since {oldest}." in explain("/ill", "--admin", weir.admin, code=1)
    assert f"`x` among the 0 lines of {tmp_path}/empty" in explain("x", "--log", make(tmp_path / "empty", ""), code=1)
    assert "cannot open" in explain("x", "--log", str(tmp_path / "none"), code=1)
    assert "no Weir answers" in explain("x", "--admin", f"unix:{tmp_path}/none", code=1)


def test_without_an_access_log_there_is_nothing(start_web):
    weir = start_web(access="off")
    assert "`logs.access: off`" in explain("x", "--admin", weir.admin, code=1)


@pytest.mark.parametrize("arguments", [
    ["x", "http://a/"], ["x", "-H", "a: b"], ["x", "--listener", "web"], ["x", "--log", "a", "--admin", "b"], [],
])
def test_wrong_arguments(arguments):
    assert explain(*arguments, code=1)


def make(path, text):
    path.write_text(text)
    return str(path)


def test_every_documented_reason_has_words(tmp_path):
    text = (ROOT / "docs/logs.md").read_text()
    table = text[text.index("| `reason` | mode"):]
    reasons = re.findall(r"^\| `(\w+)` \| (?:both|http|tcp) ", table, re.M)
    assert len(reasons) > 15
    log = make(tmp_path / "log", "".join(f'{{"id":"{reason}","reason":"{reason}"}}\n' for reason in reasons))
    for reason in reasons:
        assert "docs/logs.md" not in explain(reason, "--log", log), reason


def test_one_id_of_many_requests_shows_all(tmp_path):
    line = '{"id":"%d","mode":"http","request_id":"same","path":"/%d","method":"GET","reason":"ok"}\n'
    log = make(tmp_path / "log", "".join(line % (n, n) for n in range(3)) + "no record, same\n")
    told = explain("same", "--log", log)
    assert told.count("request   GET /") == 3 and "request id same" in told
    assert explain("same", "--log", "-", input=open(log).read()) == told


def test_the_documented_words_are_what_is_said(tmp_path):
    record = {
        "time": "2026-01-31T12:00:00.234567Z", "id": "887ecefa9fa6da1c", "listener": "web", "mode": "http",
        "client": "127.0.0.1:54014", "method": "GET", "host": "www.example.com", "path": "/shop/cart",
        "protocol": "HTTP/1.1", "status": 200, "user_agent": "curl/7.88.1", "request_id": "887ecefa9fa6da1c",
        "route": 1, "pool": "site", "backend": "a", "attempts": 2, "retried": "connect",
        "pick": {"policy": "least_connections", "candidates": 3, "excluded": {"ejected": 1}, "score": 2},
        "reason": "ok", "bytes_in": 140, "bytes_out": 358, "connect_us": 86, "first_byte_us": 1162, "total_us": 1207,
    }
    told = explain("887ecefa9fa6da1c", "--log", make(tmp_path / "log", json.dumps(record)))
    assert f"```text\n{told}```\n" in (ROOT / "docs/logs.md").read_text(), told
