"""What the access log says of a session, as docs/logs.md has it."""

import datetime
import re
import time

from addresses import text_of
from http_peers import Client
from servers import greet_with
from streams import exchange, receive_to_end

ALWAYS = {
    "time": str, "id": str, "listener": str, "mode": str, "client": str, "pool": str, "attempts": int,
    "pick": dict, "reason": str, "bytes_in": int, "bytes_out": int, "total_us": int,
}
WHERE_IT_HAPPENED = {"backend": str, "connect_us": int, "first_byte_us": int, "cause": str}


def test_a_record_has_the_documented_fields_with_their_types(start_weir, backend):
    weir = start_weir(
        pool={"backends": [{"name": "one", "address": text_of(backend.getsockname())}]})
    client, server = weir.pair(backend)
    exchange(client, server, b"twelve bytes")
    name = text_of(client.getsockname())
    client.close()
    server.close()
    session = weir.wait_for_session()
    for key, kind in ALWAYS.items():
        assert type(session[key]) is kind, key
    for key, value in session.items():
        assert type(value) is {**ALWAYS, **WHERE_IT_HAPPENED}[key], key
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", session["time"])
    time = datetime.datetime.fromisoformat(session["time"].replace("Z", "+00:00"))
    age = datetime.datetime.now(datetime.timezone.utc) - time
    assert abs(age.total_seconds()) < 60
    assert re.fullmatch("[0-9a-f]{16}", session["id"])
    assert (session["listener"], session["pool"], session["mode"]) == ("front", "back", "tcp")
    assert (session["client"], session["backend"], session["attempts"]) == (name, "one", 1)
    assert session["pick"] == {"policy": "round_robin", "candidates": 1}
    assert (session["reason"], session["bytes_in"], session["bytes_out"]) == ("ok", 12, 12)
    assert 0 <= session["connect_us"] <= session["first_byte_us"] <= session["total_us"] < 60_000_000


def test_no_request_began_after_its_answer(start_http, refusing):
    """Not even those of the first second, for which the clock that was read at the start holds."""
    weir = start_http(refusing(), listener={"routes": [{"match": {"path": "/"}, "respond": {"status": 204}}]})
    client, answered_at = Client(weir.connect()), []
    for _ in range(20):
        assert client.get().status == 204
        answered_at.append(time.time())
    for record, at in zip(weir.wait_for_sessions(20), answered_at, strict=True):
        ended_at = datetime.datetime.fromisoformat(record["time"].replace("Z", "+00:00")).timestamp()
        # Both figures are rounded down.
        assert ended_at - record["total_us"] / 1e6 <= at + 2e-6


def test_identifiers_are_unique_over_workers(start_weir, new_server):
    weir = start_weir(new_server(greet_with("a")), workers=2)
    for _ in range(200):
        with weir.connect() as client:
            receive_to_end(client)
        weir.sockets.pop()
    weir.stop()
    assert len({session["id"] for session in weir.sessions()}) == 200


def test_names_with_quotes_and_other_letters_stay_json(start_weir, backend):
    name = 'a"b\\c\u00e9\u6f22'
    weir = start_weir(pool={"backends": [{"name": name, "address": text_of(backend.getsockname())}]})
    client, server = weir.pair(backend)
    exchange(client, server)
    client.close()
    server.close()
    assert weir.wait_for_session()["backend"] == name


def test_text_is_one_line_of_key_and_value_pairs(start_weir, new_server):
    weir = start_weir(new_server(greet_with("a")), logs={"format": "text"})
    weir.events_path = "/dev/null"
    with weir.connect() as client:
        receive_to_end(client)
    weir.stop()
    access = (weir.folder / "access.log").read_text()
    events = (weir.folder / "events.log").read_text()
    assert access.count("\n") == 1 and access.endswith("\n")
    for part in (" listener=front", " reason=ok", " bytes_out=1", " pick.policy=round_robin"):
        assert part in access
    assert events.splitlines()[0].count("event=starting") == 1
    assert "event=stopped" in events.splitlines()[-1]


def test_a_sample_leaves_out_successes_and_no_failure(start_weir, new_server):
    weir = start_weir(
        logs={"sample": "10%"},
        pool={
            "backends": [
                {"name": "up", "address": text_of(new_server(greet_with("a")).listener.getsockname()),
                 "max_sessions": 1},
            ],
            "breaker": {"max_pending": 0},
        })
    for _ in range(500):
        with weir.connect() as client:
            receive_to_end(client)
        weir.sockets.pop()
    # With the only place taken, a session fails.
    holder = weir.connect()
    assert holder.recv(1) == b"a"
    for _ in range(20):
        assert receive_to_end(weir.connect()) == b""
    holder.close()
    stopped = weir.stop()
    reasons = [session["reason"] for session in weir.sessions()]
    assert reasons.count("no_backend") == stopped["reasons"]["no_backend"] >= 20
    # 10 % of 500; the bounds are six standard deviations away.
    assert 10 <= reasons.count("ok") <= 95


def test_logs_that_are_off_write_nothing(start_weir, backend):
    weir = start_weir(backend, logs={"access": "off"})
    exchange(*weir.pair(backend))
    weir.stop()
    assert sorted(path.name for path in weir.folder.iterdir()) == ["events.log", "stderr", "weir.yaml"]
