"""Session affinity: who comes back to the backend that he had, by which cookie or address, and who does not."""

import json
import random
import subprocess
from collections import Counter

import pytest

from addresses import free_port, text_of
from conftest import address_of
from deadlines import PATIENCE_SECONDS, wait_until
from http_peers import Client, request, response
from servers import greet_with
from streams import receive_exactly
from test_balancing import hold
from weir_process import run_weir

NAMES = ["a", "b", "c"]


@pytest.fixture
def scripts(new_script):
    """Three backends that say their names."""
    return {name: new_script(lambda _, name=name: response(body=name.encode())) for name in NAMES}


def entries(scripts, **extra):
    return [
        {"name": name, "address": address_of(script), **{key: values[name] for key, values in extra.items()}}
        for name, script in scripts.items()
    ]


@pytest.fixture
def start_sticky(start_http):
    """A Weir before three backends whose cookie is called `WEIR`."""

    def start(scripts, affinity=None, workers=2, backends=None, listener=None, **pool):
        return start_http(
            workers=workers, listener=listener,
            pool={"backends": backends or entries(scripts), "affinity": {"cookie": "WEIR", **(affinity or {})}, **pool})

    return start


def ask(weir, cookie=None, **fields):
    """On a connection of its own, so that workers take turns."""
    if cookie is not None:
        fields["Cookie"] = cookie
    with weir.connect() as sock:
        answer = Client(sock).get("/", **fields)
    weir.sockets.clear()
    return answer


def pair_of(answer):
    """What a browser sends back of the cookie that the answer sets; None where it sets none."""
    line = answer.get("set-cookie")
    return line and line.partition(";")[0]


def results(weir, count):
    """How often the log says what of affinity, when so many requests have ended."""
    return Counter(record["pick"]["affinity"]["result"] for record in weir.wait_for_sessions(count))


# -- By cookie


def test_a_cookie_leads_back_whatever_worker_serves(start_sticky, scripts):
    weir = start_sticky(scripts)
    for _ in range(6):
        first = ask(weir)
        cookie = pair_of(first)
        for _ in range(8):
            again = ask(weir, f"theme=dark; {cookie}")
            assert again.body == first.body
            # It has the cookie already: nothing keeps the answer out of caches.
            assert again.get("set-cookie") is None and again.get("cache-control") is None
    assert results(weir, 54) == {"none": 6, "hit": 48}
    assert {record["pick"]["affinity"]["by"] for record in weir.sessions()} == {"cookie"}


def test_curl_and_its_cookie_jar(start_sticky, scripts, tmp_path):
    weir = start_sticky(scripts, {"ttl": "30m"})
    url = f"http://{weir.configuration['listeners']['front']['bind']}/"
    answers = Counter()
    for _ in range(20):
        jar = str(tmp_path / "jar")
        answers[subprocess.run(
            ["curl", "-s", "-b", jar, "-c", jar, url], capture_output=True, timeout=PATIENCE_SECONDS).stdout] += 1
    assert list(answers.values()) == [20]
    assert "#HttpOnly_127.0.0.1" in (tmp_path / "jar").read_text()


@pytest.mark.parametrize(
    "affinity, attributes",
    [
        ({}, "Path=/; HttpOnly; SameSite=Lax"),
        ({"ttl": "30m"}, "Path=/; Max-Age=1800; HttpOnly; SameSite=Lax"),
        ({"path": "/shop", "http_only": False, "same_site": "strict"}, "Path=/shop; SameSite=Strict"),
        ({"secure": True, "same_site": "none"}, "Path=/; HttpOnly; SameSite=None; Secure"),
    ])
def test_the_cookie_has_the_attributes_of_the_file(start_sticky, scripts, affinity, attributes):
    answer = ask(start_sticky(scripts, affinity))
    name_and_value, _, rest = answer.get("set-cookie").partition("; ")
    name, value = name_and_value.split("=")
    assert name == "WEIR" and len(value) == 16 and set(value) <= set("0123456789abcdef")
    assert rest == attributes
    assert answer.get("cache-control") == "private"


@pytest.mark.parametrize("trusted", [True, False])
def test_secure_follows_what_a_trusted_proxy_says(start_sticky, scripts, trusted):
    weir = start_sticky(scripts, listener={"forwarded": {"trusted": ["127.0.0.0/8"]}} if trusted else None)
    for proto, is_https in (("https", True), ("HTTPS, http", True), ("http", False), ("httpsx", False), ("", False)):
        assert ("Secure" in ask(weir, X_Forwarded_Proto=proto).get("set-cookie")) == (is_https and trusted), proto


def test_several_weirs_agree_on_the_cookie(start_sticky, scripts):
    one = start_sticky(scripts)
    other = start_sticky(scripts, workers=1, backends=entries(scripts)[::-1], balance="random")
    cookies = {}
    for _ in range(30):
        answer = ask(one)
        cookies[answer.body] = pair_of(answer)
    assert len(cookies) == 3
    for body, cookie in cookies.items():
        for _ in range(4):
            answer = ask(other, cookie)
            assert answer.body == body and answer.get("set-cookie") is None


def test_the_value_is_the_same_for_ever(start_sticky, scripts):
    """XXH64 of the pool's name, a zero byte and the backend's name, in hexadecimal."""
    weir = start_sticky(scripts, backends=entries(scripts)[:1])
    assert pair_of(ask(weir)) == "WEIR=73ae700a89a74d27"


def test_who_refuses_is_replaced_and_so_is_the_cookie(start_sticky, scripts):
    weir = start_sticky(scripts, keep_alive={"idle": 0})
    first = ask(weir)
    scripts[first.body.decode()].server.close()
    second = ask(weir, pair_of(first))
    assert second.status == 200 and second.body != first.body
    assert pair_of(second) not in (None, pair_of(first))
    for _ in range(6):
        third = ask(weir, pair_of(second))
        assert third.body == second.body and third.get("set-cookie") is None
    assert results(weir, 8) == {"none": 1, "failed": 1, "hit": 6}
    assert [r["attempts"] for r in weir.sessions() if r["pick"]["affinity"]["result"] == "failed"] == [2]


def test_a_retry_leads_to_another_whose_cookie_is_set(start_sticky, scripts):
    weir = start_sticky(scripts, listener={"retry": {"attempts": 1, "on": ["503"], "budget": "100%"}})
    first = ask(weir)
    ill = scripts[first.body.decode()]
    ill.answer = lambda _: response(503)
    second = ask(weir, pair_of(first))
    assert second.status == 200 and second.body != first.body
    assert pair_of(second) not in (None, pair_of(first))
    assert results(weir, 2) == {"none": 1, "failed": 1}


def test_weight_0_turns_away_only_who_is_new(start_sticky, scripts):
    before = start_sticky(scripts)
    cookie = wait_until(lambda: (answer := ask(before)).body == b"a" and pair_of(answer), "a cookie of a")
    weir = start_sticky(scripts, backends=entries(scripts, weight={"a": 0, "b": 1, "c": 1}))
    for _ in range(6):
        assert ask(weir, cookie).body == b"a"
        assert ask(weir).body != b"a"


def test_who_is_full_is_replaced(start_sticky, scripts, new_script):
    answer_now = []

    def wait(message):
        if message.target == "/held":
            wait_until(lambda: answer_now, "the end of the test")
        return response(body=b"a")

    scripts["a"] = new_script(wait)
    weir = start_sticky(scripts, backends=entries(scripts, max_sessions={name: 1 for name in NAMES}))
    cookie = wait_until(lambda: (answer := ask(weir)).body == b"a" and pair_of(answer), "a cookie of a")
    held = Client(weir.connect())
    held.send(request("GET", "/held", fields={"Cookie": cookie}))
    wait_until(lambda: "/held" in scripts["a"].targets, "the request that is held")
    other = ask(weir, cookie)
    assert other.body != b"a" and pair_of(other) not in (None, cookie)
    answer_now.append(True)
    assert held.response().body == b"a"
    wait_until(
        lambda: any(record["pick"]["affinity"]["result"] == "full" for record in weir.sessions()),
        "the record of who found it full")


def test_the_backend_sees_the_cookie_as_it_came(start_sticky, scripts):
    weir = start_sticky(scripts)
    cookie = f"a=b;  c ; {pair_of(ask(weir))};d=\"e\""
    answer = ask(weir, cookie)
    assert scripts[answer.body.decode()].requests[-1].get("cookie") == cookie


def test_cookies_of_the_backend_stay(start_sticky, new_script):
    script = new_script(
        lambda _: b"HTTP/1.1 200 OK\r\nSet-Cookie: x=1\r\nSet-Cookie: y=2\r\nCache-Control: max-age=9\r\n"
                  b"Content-Length: 0\r\n\r\n")
    answer = ask(start_sticky({"a": script}))
    assert answer.all("set-cookie")[:2] == ["x=1", "y=2"] and len(answer.all("set-cookie")) == 3
    assert answer.all("cache-control") == ["max-age=9", "private"]


def test_interim_responses_set_no_cookie(start_sticky, new_script):
    script = new_script(lambda _: [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", response(body=b"a")])
    answer = ask(start_sticky({"a": script}))
    assert answer.interim and all(not hint.all("set-cookie") for hint in answer.interim)
    assert pair_of(answer)


def test_an_answer_of_weirs_own_sets_no_cookie(start_sticky, refusing):
    answer = ask(start_sticky({}, backends=[refusing()]))
    assert answer.status == 503 and answer.get("set-cookie") is None


def test_a_cookie_among_many_is_found(start_sticky, scripts):
    weir = start_sticky(scripts)
    first = ask(weir)
    cookie = pair_of(first)
    for fields in (
        ["x=1", cookie], ["WEIR=; WEIR=0123456789abcdef", f"WEIR={16 * 'g'};{cookie}"], [f";;,;{cookie};WEIR="],
        [40 * "junk=\"; " + cookie],
    ):
        answer = ask(weir, fields)
        assert answer.body == first.body and answer.get("set-cookie") is None, fields


def test_hostile_cookies_are_no_cookies(start_sticky, scripts):
    weir = start_sticky(scripts, workers=1)
    client = Client(weir.connect())
    known = pair_of(client.get("/"))
    value = known.split("=")[1]
    source = random.Random(7)
    lines = [
        "WEIR", "WEIR=", "WEIR=" + 4000 * "f", "WEIR=" + 16 * "0", "WEIR=" + 16 * "f", f"weir={value}",
        f"WEIR={value.upper() if value.upper() != value else 16 * 'F'}", f"WEIR=\"{value}\"", f"WEIR={value}0",
        f"WEIR=0x{value[2:]}", f"WEIR ={value}", f"xWEIR={value}", f"a=WEIR={value}", 2000 * ";", 900 * "WEIR=1;",
        f"WEIR={value[:-1]}", f"WEIR%3D{value}", f"WEIR={value},x",
    ]
    pieces = ["WEIR", "=", ";", " ", "\t", ",", "\"", "\xff", "\x80", value[:8], 16 * "0", "=" + value[1:]]
    lines += ["".join(source.choices(pieces, k=source.randrange(1, 40))) for _ in range(300)]
    for line in lines:
        answer = client.get("/", Cookie=line)
        assert answer.status == 200, line
        assert pair_of(answer) is not None or known in line, line
    assert client.get("/", Cookie=known).get("set-cookie") is None


# -- By the client's address


@pytest.fixture
def servers(new_server):
    return {name: new_server(greet_with(name)) for name in NAMES}


def sticky_clients(servers, **affinity):
    return {
        "backends": [{"name": n, "address": text_of(s.listener.getsockname())} for n, s in servers.items()],
        "affinity": {"client_ip": True, **affinity},
    }


CLIENTS = [f"127.0.0.{number}" for number in range(2, 32)]


def test_a_client_comes_back_whatever_worker_serves(start_weir, servers):
    weir = start_weir(workers=2, pool=sticky_clients(servers))
    chosen = {client: set(hold(weir, 6, source=client)) for client in CLIENTS}
    assert all(len(names) == 1 for names in chosen.values())
    assert set().union(*chosen.values()) == set(NAMES)
    weir.stop()
    picks = [session["pick"]["affinity"] for session in weir.sessions()]
    assert {pick["by"] for pick in picks} == {"client_ip"}
    assert Counter(pick["result"] for pick in picks) == {"none": 30, "hit": 150}


def test_clients_of_a_dead_backend_move_and_stay(start_weir, servers):
    weir = start_weir(workers=2, pool={**sticky_clients(servers), "health": {"passive": "off"}})
    before = {client: hold(weir, 1, source=client)[0] for client in CLIENTS}
    servers["b"].close()
    for client in CLIENTS:
        after = set(hold(weir, 4, source=client))
        assert len(after) == 1 and "b" not in after
        if before[client] != "b":
            assert after == {before[client]}
    weir.stop()
    failed = [session for session in weir.sessions() if session["pick"]["affinity"]["result"] == "failed"]
    assert len(failed) == list(before.values()).count("b")


def test_requests_stick_by_address_too(start_http, scripts):
    weir = start_http(workers=2, pool={"backends": entries(scripts), "affinity": {"client_ip": True}})
    answers = {ask(weir).body for _ in range(12)}
    assert len(answers) == 1
    assert results(weir, 12) == {"none": 1, "hit": 11}
    assert ask(weir).get("set-cookie") is None


def test_clients_without_an_address_are_not_one_client(start_weir, servers, short_folder):
    weir = start_weir(
        listener={"bind": f"unix:{short_folder}/s"}, pool=sticky_clients(servers))
    assert Counter(receive_exactly(weir.connect(), 1).decode() for _ in range(6)) == {"a": 2, "b": 2, "c": 2}
    weir.stop()
    assert all("affinity" not in session["pick"] for session in weir.sessions())


def test_a_small_table_forgets_and_still_serves(start_weir, servers):
    weir = start_weir(workers=2, pool=sticky_clients(servers, clients=1))
    for _ in range(3):
        for client in CLIENTS:
            hold(weir, 1, source=client)
    weir.stop()
    counted = Counter(session["pick"]["affinity"]["result"] for session in weir.sessions())
    assert counted["none"] > 30 and sum(counted.values()) == 90


# -- What is said of it


FILE = """\
listeners:
  web: { bind: "127.0.0.1:8080", mode: http, pool: site }
  raw: { bind: "127.0.0.1:8081", mode: http, pool: clients }
pools:
  site:
    affinity: { cookie: WEIR, ttl: 1h }
    backends:
      - { name: a, address: "127.0.0.1:9001" }
      - { name: b, address: "127.0.0.1:9002", weight: 0 }
  clients:
    affinity: { client_ip: true, clients: 1000000 }
    backends: ["127.0.0.1:9003"]
"""


@pytest.fixture
def explain(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(FILE)

    def explain(*words, listener="web"):
        done = run_weir("explain", "-c", str(path), "--listener", listener, "http://h/", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return explain


def test_explain_says_who_chose(explain):
    text = explain()
    assert "affinity  cookie WEIR: the request has none\n" in text
    assert "to the client: Set-Cookie: WEIR=" in text and "to the client: Cache-Control: private" in text
    assert "b  127.0.0.1:9002  weight 0  excluded" in text
    sticky = explain("-H", "cookie: WEIR=9426418af7667408")
    assert "affinity  cookie WEIR: names b\n" in sticky
    assert "choice    b\n          Its cookie names it" in sticky
    assert "Set-Cookie" not in sticky and "excluded" not in sticky
    assert "names no backend of the pool" in explain("-H", "cookie: WEIR=0123456789abcdef")
    decision = json.loads(explain("--json", "-H", "cookie: WEIR=x"))
    assert decision["affinity"] == {"by": "cookie", "result": "unknown"} and "WEIR=" in decision["set_cookie"]
    assert "client_ip: as of a client that is not remembered" in explain(listener="raw")


def test_check_counts_the_memory_of_clients(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(FILE)
    done = run_weir("check", str(path))
    assert done.returncode == 0, done.stderr
    assert "16.0 MiB remembered clients (affinity)" in done.stdout
    assert "ttl: 30m" in done.stdout
