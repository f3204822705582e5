"""What a run must have got right for its figures to mean anything: bytes, kept connections, log records."""

import contextlib
import http.client
import json
import os
import socket

import candidates
from configurations import HOST
from processes import BenchError

# Share of the log's records. Weir drops some where its core is busy with others for longer than its buffers last;
# a few make no difference to what the log costs.
MISSING_LIMIT = 0.01


def verify(bench, candidate, address):
    """Bytes through the proxy must be those of the origin; in http mode also on a kept connection."""
    bodies = {"/small": candidates.SMALL_BODY, "/bulk": bench.bulk_body}
    try:
        for path, expected in bodies.items():
            for _ in range(3):
                compare(path, fetch_and_close(address, path), expected)
        if candidate.is_http:
            verify_kept(address, bodies)
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(repr(error)) from error


def verify_kept(address, bodies):
    """Every proxy does the same work: it keeps its connections on both sides, and names the client."""
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=5)) as connection:
        connection.connect()
        # Without this a closed connection would be opened anew, unnoticed.
        connection.auto_open = False
        for path, expected in bodies.items():
            for _ in range(3):
                compare(path, fetch_kept(connection, path), expected)
        facts = [fetch_kept(connection, "/facts").decode() for _ in range(2)]
        requests, _, client = facts[-1].partition(" ")
        if int(requests) < 2:
            raise BenchError("opens a connection to the origin for each request")
        if client != connection.sock.getsockname()[0]:
            raise BenchError(f"tells the origin `{client}` in X-Forwarded-For")


def compare(path, body, expected):
    if body != expected:
        differs = next((i for i, (a, b) in enumerate(zip(body, expected)) if a != b), "none")
        raise BenchError(
            f"relays WRONG BYTES for {path}: {len(body)} of {len(expected)} bytes,"
            f" first difference at {differs}"
        )


def fetch_and_close(address, path):
    """The body of one HTTP response, the connection closed after it by the other side."""
    with socket.create_connection(address, timeout=5) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        pieces = []
        while piece := connection.recv(1 << 18):
            pieces.append(piece)
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise BenchError(f"{path} through {address}: unexpected response {head[:100]!r}")
    return body


def fetch_kept(connection, path):
    connection.request("GET", path, headers={"Host": HOST})
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise BenchError(f"{path}: unexpected response {response.status}")
    return body


def forget_access_log(bench):
    """Each run writes a log of its own, and none fills the disk with those of all."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(candidates.access_log_path(bench.directory))


def check_access_log(bench, candidate, requests):
    """A record of each request, or writing the log cost less than it should have."""
    path = candidates.access_log_path(bench.directory)
    records, line = 0, b""
    with open(path, "rb") as file:
        for line in file:
            records += 1
    try:
        record = json.loads(line)
    except ValueError as error:
        raise BenchError(f"the log's last record is no JSON: {line[:200]!r}") from error
    # Not the status: wrk ends in the middle of its last requests.
    if record.get("path") != "/small":
        raise BenchError(f"an unexpected record in the log: {line[:500]!r}")
    # At least: the log also has the requests of `verify`, and those that wrk did not wait for.
    missing = max(0, requests - records)
    if missing > MISSING_LIMIT * requests:
        raise BenchError(f"at least {missing:,} of {requests:,} records are missing in the log")
    if missing:
        bench.warn(f"{candidate.title}: at least {missing:,} of {requests:,} records are missing in the log")
