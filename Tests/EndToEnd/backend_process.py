"""A backend that can be killed, stopped and started again: a process that serves HTTP/1.1. `/status/NUMBER` is answered
with that status, anything else with 200; the body is the backend's name."""

import os
import signal
import subprocess
import sys

from addresses import free_port
from deadlines import wait_until

SOURCE = """
import http.server, sys
name, port = sys.argv[1].encode(), int(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        status = int(self.path.rpartition("/")[2]) if self.path.startswith("/status/") else 200
        self.send_response(status)
        self.send_header("content-length", str(len(name)))
        self.end_headers()
        self.wfile.write(name)
    def log_message(self, *arguments):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
server = Server(("127.0.0.1", port), Handler)
print("ready", flush=True)
server.serve_forever()
"""


class BackendProcess:
    def __init__(self, name):
        self.name = name
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.start()

    @property
    def entry(self):
        """What a pool's list of backends says of it."""
        return {"name": self.name, "address": self.address}

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SOURCE, self.name, str(self.port)], stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Connections are taken by the kernel, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

        def state():
            with open(f"/proc/{self.process.pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0]

        wait_until(lambda: state() == "T", "a stopped process")

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.kill()
        self.process.stdout.close()
