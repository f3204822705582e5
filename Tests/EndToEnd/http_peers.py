"""Both ends of HTTP/1.1, byte by byte: a reader of messages that takes nothing for granted, a client, and a
backend that remembers what it was sent and answers as a test says."""

import select
import socket

CRLF = b"\r\n"


class Message:
    """A request or response as it was on the wire."""

    def __init__(self, head):
        first, *lines = head[:-4].split(CRLF)
        self.head = head
        self.first = first.decode("latin-1")
        self.fields = []
        for line in lines:
            name, _, value = line.decode("latin-1").partition(":")
            self.fields.append((name.lower(), value.strip()))
        self.body = b""
        self.is_chunked = False
        self.chunk_lines = []
        self.trailers = []
        self.interim = []
        #: False where the connection ended before the body did.
        self.is_whole = True
        self.connection = None

    def all(self, name):
        return [value for other, value in self.fields if other == name.lower()]

    def get(self, name):
        """The only value of that name; None where there is none."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {self.head}"
        return values[0] if values else None

    @property
    def names(self):
        return {name for name, _ in self.fields}

    @property
    def status(self):
        return int(self.first.split(" ")[1])

    @property
    def method(self):
        return self.first.split(" ")[0]

    @property
    def target(self):
        return self.first.split(" ")[1]


class Reader:
    """Reads messages from a socket; what came beyond one stays for the next."""

    def __init__(self, sock, at_most=1 << 16):
        self.sock = sock
        self.buffer = b""
        self.at_most = at_most

    def _more(self):
        chunk = self.sock.recv(self.at_most)
        self.buffer += chunk
        return bool(chunk)

    def until(self, end):
        while end not in self.buffer:
            if not self._more():
                return None
        position = self.buffer.index(end) + len(end)
        data, self.buffer = self.buffer[:position], self.buffer[position:]
        return data

    def exactly(self, count):
        """Shorter where the stream ends before."""
        parts, missing = [], count
        while missing > 0:
            if not self.buffer and not self._more():
                break
            part, self.buffer = self.buffer[:missing], self.buffer[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def to_end(self):
        parts = [self.buffer]
        self.buffer = b""
        while chunk := self.sock.recv(1 << 18):
            parts.append(chunk)
        return b"".join(parts)

    def head(self):
        """A message without its body; None at the end of the stream."""
        data = self.until(CRLF + CRLF)
        return data and Message(data)

    def request(self):
        message = self.head()
        if message:
            self.body_of(message)
        return message

    def response(self, method="GET"):
        interim = []
        while True:
            message = self.head()
            if message is None:
                return None
            if not 100 <= message.status < 200 or message.status == 101:
                break
            interim.append(message)
        message.interim = interim
        if method == "HEAD" or message.status in (101, 204, 304):
            return message
        self.body_of(message, is_response=True)
        return message

    def body_of(self, message, is_response=False):
        codings = message.all("transfer-encoding")
        length = message.get("content-length")
        assert not (codings and length), f"two framings: {message.head}"
        if codings:
            assert codings == ["chunked"], message.head
            message.is_chunked = True
            self._chunks(message)
        elif length is not None:
            message.body = self.exactly(int(length))
            message.is_whole = len(message.body) == int(length)
        elif is_response:
            message.body = self.to_end()

    def _chunks(self, message):
        parts = []
        while True:
            line = self.until(CRLF)
            if line is None:
                message.is_whole = False
                break
            message.chunk_lines.append(line[:-2])
            size = int(line[:-2].partition(b";")[0], 16)
            if size == 0:
                break
            data = self.exactly(size + 2)
            parts.append(data[:size])
            if len(data) < size + 2:
                message.is_whole = False
                break
            assert data.endswith(CRLF)
        message.body = b"".join(parts)
        while message.is_whole:
            line = self.until(CRLF)
            if line is None:
                message.is_whole = False
            elif line == CRLF:
                return
            else:
                name, _, value = line.decode("latin-1").partition(":")
                message.trailers.append((name.lower(), value.strip()))


class Client(Reader):
    """A connection to Weir."""

    def send(self, data):
        self.sock.sendall(data)

    def ask(self, data, method="GET"):
        self.send(data)
        return self.response(method)

    def get(self, target="/", **fields):
        return self.ask(request("GET", target, fields=fields))

    def ending(self):
        """How the connection ends behind what was read: `fin`, `reset`, or the bytes that come before."""
        try:
            rest = self.to_end()
        except ConnectionResetError:
            return "reset"
        return rest or "fin"

    def end(self):
        self.sock.shutdown(socket.SHUT_WR)

    def is_silent(self, seconds=0.1):
        """Nothing comes, and no end either."""
        return not self.buffer and not select.select([self.sock], [], [], seconds)[0]


def request(method="GET", target="/", version="1.1", host="site.test", fields=None, body=None):
    """The bytes of a request; names of `fields` may have `_` for `-`, values may be lists."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    for name, value in (fields or {}).items():
        values = value if isinstance(value, list) else [value]
        lines += [f"{name.replace('_', '-')}: {one}" for one in values]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def response(status=200, body=b"", fields=None, version="1.1", length=True):
    lines = [f"HTTP/{version} {status} Fine"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in (fields or {}).items()]
    if length and body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(*chunks, trailers="", extension=""):
    """A chunked body."""
    data = b"".join(b"%x%s\r\n%s\r\n" % (len(c), extension.encode(), c) for c in chunks if c)
    return data + b"0" + extension.encode() + CRLF + trailers.encode("latin-1") + CRLF


class Script:
    """Serves the connections of one backend: `answer(request)` is the bytes to send, or a list of them; a
    `None` among them closes the connection. Remembers the requests and how many connections there were."""

    def __init__(self, answer=None):
        self.answer = answer or (lambda request: response(body=b"hello"))
        self.requests = []
        self.connections = 0
        #: Requests that were served whole, by connection.
        self.served = {}

    def __call__(self, connection):
        number = self.connections
        self.connections += 1
        reader = Reader(connection)
        while message := reader.request():
            message.connection = number
            self.requests.append(message)
            answer = self.answer(message)
            for part in answer if isinstance(answer, (list, tuple)) else [answer]:
                if part is None:
                    return
                connection.sendall(part)

    @property
    def targets(self):
        return [message.target for message in self.requests]
