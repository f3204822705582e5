"""Requests and responses of all shapes, cut at random places, on large and small buffers: all arrive as they
were meant. Each case is made of its number, so that it can be run again."""

import random
import threading

import pytest

from http_peers import Client, Reader, chunked, request, response

SMALL = {"buffer_size": "1KiB", "header_size": "1KiB"}
NORMAL = {}
SIZES = [0, 1, 2, 100, 900, 1000, 1024, 1030, 4000, 16_300, 16_384, 16_390, 40_000, 150_000, 300_000]


def cut(chance, data):
    """Pieces of random lengths, of a random order of magnitude."""
    pieces, start = [], 0
    most = chance.choice([7, 100, 1000, 5000, 20_000, 100_000])
    # Not too many of them.
    most = max(most, len(data) // 300)
    while start < len(data):
        end = start + chance.randint(1, most)
        pieces.append(data[start:end])
        start = end
    return pieces


def body_in_chunks(chance, data):
    return chunked(*cut(chance, data), extension=chance.choice(["", "", ";a=b"]) if len(data) < 5000 else "")


class Plan:
    """One exchange: what is asked, and what is answered."""

    def __init__(self, chance, number):
        self.number = number
        self.method = chance.choice(["GET", "POST", "PUT", "HEAD", "DELETE"])
        self.target = f"/{number}"
        has_body = self.method in ("POST", "PUT")
        self.body = chance.randbytes(chance.choice(SIZES)) if has_body else b""
        fields = {"X-Pad": "p" * chance.choice([0, 10, 300])}
        if chance.random() < 0.2:
            fields["TE"], fields["Connection"] = "trailers", "te"
        if not has_body:
            self.sent = request(self.method, self.target, fields=fields)
        elif chance.random() < 0.5:
            self.sent = request(self.method, self.target, fields=fields, body=self.body)
        else:
            fields["Transfer-Encoding"] = "chunked"
            self.sent = request(self.method, self.target, fields=fields) + body_in_chunks(chance, self.body)
        self.answer_body = chance.randbytes(chance.choice(SIZES))
        self.status = chance.choice([200, 200, 200, 404, 304, 204])
        self.interim = chance.choice([0, 0, 0, 1, 3])
        self.closes = False
        interim = b"HTTP/1.1 103 Hints\r\nX-A: b\r\n\r\n" * self.interim
        own = {"X-Pad": "q" * chance.choice([0, 10, 300])}
        if self.method == "HEAD" or self.status in (304, 204):
            self.answer_body = b""
            self.answer = interim + response(self.status, None, own)
            return
        kind = chance.choice(["length", "chunked", "close"])
        if kind == "length":
            self.answer = interim + response(self.status, self.answer_body, own)
        elif kind == "chunked":
            own["Transfer-Encoding"] = "chunked"
            self.answer = interim + response(self.status, None, own) + body_in_chunks(chance, self.answer_body)
        else:
            self.closes = True
            self.answer = interim + response(self.status, self.answer_body, own, length=False)


@pytest.mark.parametrize("limits", [SMALL, NORMAL], ids=["small", "normal"])
@pytest.mark.parametrize("relay", ["copy", "auto"])
@pytest.mark.parametrize("seed", range(3))
def test_exchanges_of_all_shapes(start_http, new_server, limits, relay, seed):
    serve_all(start_http, new_server, limits, relay, seed)


@pytest.mark.xfail(strict=True, reason="in http mode a request fails where none of the worker's buffers is left")
def test_few_buffers_make_requests_slow_and_fail_none(start_http, new_server):
    for seed in range(3):
        serve_all(start_http, new_server, {**SMALL, "buffers": 64}, "copy", seed)


def serve_all(start_http, new_server, limits, relay, seed):
    chance = random.Random(seed)
    plans = [Plan(chance, number) for number in range(100)]
    failures = []

    def serve(connection):
        reader = Reader(connection)
        while message := reader.request():
            plan = plans[int(message.target[1:])]
            if (message.method, message.body) != (plan.method, plan.body):
                failures.append(f"request {plan.number} came otherwise")
            own = random.Random(plan.number)
            for piece in cut(own, plan.answer):
                connection.sendall(piece)
            if plan.closes:
                return

    names = ["request_head", "request_body_idle", "response_head", "idle"]
    listener = {"relay": relay, "timeouts": {name: "5s" for name in names}}
    weir = start_http(new_server(serve), listener=listener, limits=dict(limits))

    def work(part):
        own = random.Random(part[0].number)
        try:
            client = Client(weir.connect(), at_most=own.choice([1000, 65536]))
            index = 0
            while index < len(part):
                # Some are pipelined.
                batch = part[index:index + own.choice([1, 1, 2, 5])]
                index += len(batch)
                data = b"".join(plan.sent for plan in batch)
                sender = threading.Thread(target=send_all, args=[client, cut(own, data)], daemon=True)
                sender.start()
                for plan in batch:
                    answer = client.response(plan.method)
                    assert answer is not None, f"no answer to {plan.number}"
                    assert answer.status == plan.status, (plan.number, answer.status)
                    assert answer.body == plan.answer_body and answer.is_whole, plan.number
                    assert len(answer.interim) == plan.interim, plan.number
                    assert answer.get("connection") is None, plan.number
                sender.join(20)
                if own.random() < 0.1:
                    client.sock.close()
                    client = Client(weir.connect())
        except BaseException as failure:
            failures.append(repr(failure))

    threads = [threading.Thread(target=work, args=[plans[first::4]], daemon=True) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failures == [], [record for record in weir.sessions() if record["reason"] != "ok"]
    records = weir.wait_for_sessions(len(plans))
    assert {record["reason"] for record in records} == {"ok"}


def send_all(client, pieces):
    for piece in pieces:
        client.send(piece)
