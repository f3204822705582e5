"""Programs that everybody uses, on both sides of Weir."""

import hashlib
import http.client
import http.server
import json
import subprocess
import threading
import urllib.request

import pytest

from addresses import free_port, text_of
from deadlines import PATIENCE_SECONDS, wait_until
from http_peers import Client, request, response
from streams import BLOCK_BYTES, block


class Nginx:
    """Serves and stores files of `folder`."""

    def __init__(self, folder):
        self.folder = folder / "files"
        self.folder.mkdir()
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        temporary = "".join(
            f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(f"""
            user root; daemon off; master_process off; pid {folder}/pid; error_log {folder}/nginx-error.log;
            events {{ worker_connections 1000; }}
            http {{
                {temporary} access_log off; sendfile on; client_max_body_size 0;
                server {{
                    listen {self.address};
                    location / {{ root {self.folder}; dav_methods PUT; }}
                    location /small {{ client_max_body_size 1000; root {self.folder}; dav_methods PUT; }}
                    location /text {{ return 200 "text\\n"; }}
                }}
            }}""")
        self.process = subprocess.Popen(
            ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx-error.log")],
            stdin=subprocess.DEVNULL)
        wait_until(self._answers, "nginx serves")

    def _answers(self):
        assert self.process.poll() is None, "nginx ended"
        host, _, port = self.address.rpartition(":")
        try:
            connection = http.client.HTTPConnection(host, int(port))
            connection.request("GET", "/text")
            return connection.getresponse().status == 200
        except ConnectionRefusedError:
            return False

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def nginx(tmp_path):
    server = Nginx(tmp_path)
    yield server
    server.close()


def url(weir, path="/"):
    return "http://" + weir.configuration["listeners"]["front"]["bind"] + path


def curl(*arguments, **options):
    result = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "60", *arguments],
        capture_output=True, timeout=90, **options)
    assert result.returncode == 0, result.stderr
    return result.stdout


class MemoryWatch:
    """The most memory that Weir had while the block ran."""

    def __init__(self, weir):
        self.weir = weir
        self.most = 0
        self._ends = threading.Event()

    def _look(self):
        while not self._ends.wait(0.05):
            self.most = max(self.most, self.weir.memory_bytes("Rss"))

    def __enter__(self):
        self.most = self.weir.memory_bytes("Rss")
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()


# -- Files of a GiB


def bulk_size(engine):
    return 1 << 30 if engine == "io_uring" else 256 << 20


def test_a_large_download(start_http, nginx, engine, measured):
    count = bulk_size(engine) // BLOCK_BYTES
    expected = hashlib.sha256()
    with open(nginx.folder / "large", "wb") as file:
        for index in range(count):
            expected.update(block(1, index))
            file.write(block(1, index))
    weir = start_http(nginx.address)
    client = Client(weir.connect())
    client.send(request(target="/large"))
    digest = hashlib.sha256()
    with MemoryWatch(weir) as memory:
        assert client.head().get("content-length") == str(count * BLOCK_BYTES)
        for _ in range(count):
            digest.update(client.exactly(BLOCK_BYTES))
    (nginx.folder / "large").unlink()
    assert digest.digest() == expected.digest()
    measured(f"{count} MiB, at most {memory.most >> 20} MiB of memory")
    assert memory.most < 48 << 20
    assert client.ask(request(target="/text")).body == b"text\n"
    assert weir.wait_for_sessions(2)[0]["bytes_out"] > count * BLOCK_BYTES


def test_a_large_upload(start_http, nginx, engine, measured):
    count = bulk_size(engine) // BLOCK_BYTES
    weir = start_http(nginx.address)
    client = Client(weir.connect())
    expected = hashlib.sha256()
    with MemoryWatch(weir) as memory:
        client.send(request("PUT", "/uploaded", fields={"Content-Length": str(count * BLOCK_BYTES)}))
        for index in range(count):
            expected.update(block(2, index))
            client.send(block(2, index))
        assert client.response().status == 201
    measured(f"{count} MiB, at most {memory.most >> 20} MiB of memory")
    assert memory.most < 48 << 20
    with open(nginx.folder / "uploaded", "rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == expected.digest()
    (nginx.folder / "uploaded").unlink()
    assert weir.wait_for_session()["bytes_in"] > count * BLOCK_BYTES


def test_a_large_chunked_upload(start_http, nginx, measured):
    count = 128
    weir = start_http(nginx.address)
    client = Client(weir.connect())
    expected = hashlib.sha256()
    with MemoryWatch(weir) as memory:
        client.send(request("PUT", "/uploaded", fields={"Transfer-Encoding": "chunked"}))
        for index in range(count):
            expected.update(block(2, index))
            client.send(b"%x\r\n%s\r\n" % (BLOCK_BYTES, block(2, index)))
        client.send(b"0\r\n\r\n")
        assert client.response().status == 201
    measured(f"{count} MiB, at most {memory.most >> 20} MiB of memory")
    assert memory.most < 48 << 20
    with open(nginx.folder / "uploaded", "rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == expected.digest()
    (nginx.folder / "uploaded").unlink()


def test_an_upload_that_nginx_turns_down(start_http, nginx):
    """It answers 413 and closes, while the client is still sending."""
    weir = start_http(nginx.address)
    for _ in range(5):
        client = Client(weir.connect())
        client.send(request("PUT", "/small/x", fields={"Content-Length": str(32 << 20)}))
        try:
            for index in range(32):
                client.send(block(3, index))
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert client.response().status == 413
        client.sock.close()


# -- curl


def test_curl(start_http, nginx, tmp_path):
    weir = start_http(nginx.address)
    data = b"".join(block(4, index) for index in range(9))
    (tmp_path / "data").write_bytes(data)
    for arguments in ([], ["--header", "Transfer-Encoding: chunked"], ["--expect100-timeout", "20"]):
        curl("--upload-file", str(tmp_path / "data"), *arguments, url(weir, "/copy"))
        assert (nginx.folder / "copy").read_bytes() == data
        (nginx.folder / "copy").unlink()
    curl("--upload-file", "-", url(weir, "/copy"), input=data)
    assert (nginx.folder / "copy").read_bytes() == data
    assert curl(url(weir, "/copy")) == data
    assert curl("--http1.0", url(weir, "/copy")) == data
    assert curl("--range", "5-9", url(weir, "/copy")) == data[5:10]
    assert b"Content-Length: %d" % len(data) in curl("--head", url(weir, "/copy"))
    assert curl(url(weir, "/text"), url(weir, "/text"), "--write-out", "%{num_connects}") in (b"text\n1text\n0",)
    statuses = {record["status"] for record in weir.sessions()}
    assert statuses <= {200, 201, 204, 206}


def test_curl_expects_100_and_is_refused(start_http, nginx, tmp_path):
    weir = start_http(nginx.address)
    (tmp_path / "data").write_bytes(b"x" * (2 << 20))
    status = curl(
        "--upload-file", str(tmp_path / "data"), "--header", "Expect: 100-continue", "--output", "/dev/null",
        "--write-out", "%{http_code}", url(weir, "/small/x"))
    assert status == b"413"


def test_curl_form(start_http, new_script):
    script = new_script()
    weir = start_http(script)
    assert curl("--form", "a=b", "--form", "file=@/etc/hostname", url(weir)) == b"hello"
    assert b'name="file"' in script.requests[0].body


# -- Python


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(dict(self.headers.items())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(params=["HTTP/1.0", "HTTP/1.1"])
def python_server(request):
    handler = type("Speaking", (Handler,), {"protocol_version": request.param})
    if request.param == "HTTP/1.1":
        # Without a length it has to close.
        handler.do_POST = do_post_with_length
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def do_post_with_length(self):
    body = self.rfile.read(int(self.headers["Content-Length"]))
    self.send_response(200)
    self.send_header("Content-Length", str(len(body)))
    self.end_headers()
    self.wfile.write(body)


def test_http_client_of_python(start_http, python_server):
    weir = start_http(text_of(python_server.server_address))
    host, _, port = weir.configuration["listeners"]["front"]["bind"].rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    for index in range(20):
        connection.request("GET", f"/{index}", headers={"X-Index": str(index)})
        answer = connection.getresponse()
        assert json.loads(answer.read())["X-Index"] == str(index)
        connection.request("POST", f"/{index}", body=b"x" * index * 1000)
        assert connection.getresponse().read() == b"x" * index * 1000
    connection.close()
    assert weir.stop()["sessions"] == 1


def test_urllib_of_python(start_http, python_server):
    weir = start_http(text_of(python_server.server_address))
    with urllib.request.urlopen(url(weir, "/a"), timeout=30) as answer:
        assert json.loads(answer.read())["X-Forwarded-For"] == "127.0.0.1"
    with urllib.request.urlopen(url(weir, "/a"), data=b"posted", timeout=30) as answer:
        assert answer.read() == b"posted"
    with pytest.raises(urllib.error.HTTPError) as failure:
        urllib.request.urlopen(urllib.request.Request(url(weir), method="BREW"), timeout=30)
    assert failure.value.code == 501


def test_many_clients_at_once(start_http, nginx):
    """Kept and closed connections, small and large files, all workers."""
    for name, size in (("small", 10), ("middle", 100_000), ("large", 3_000_000)):
        (nginx.folder / f"{name}.bin").write_bytes((block(5, size) * 3)[:size])
    weir = start_http(nginx.address, workers=2)
    failures = []

    def work(number):
        try:
            client = Client(weir.connect())
            for index in range(40):
                name, size = [("small", 10), ("middle", 100_000), ("large", 3_000_000)][(number + index) % 3]
                answer = client.get(f"/{name}.bin")
                assert answer.status == 200 and answer.body == (block(5, size) * 3)[:size]
                if index % 7 == 6:
                    client.sock.close()
                    client = Client(weir.connect())
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=[number], daemon=True) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    records = weir.wait_for_sessions(16 * 40)
    assert {(record["reason"], record["status"]) for record in records} == {("ok", 200)}
