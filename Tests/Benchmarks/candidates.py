"""What is measured: Weir and its peers, each with the configuration that docs/benchmarks.md prints."""

import os
import shutil
from dataclasses import dataclass

from processes import BenchError, Child

NGINX_STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
SMALL_BODY = b"0123456789abcdef" * 8
BULK_BYTES = 1 << 20
DEBIAN_PACKAGES = "haproxy nginx libnginx-mod-stream wrk"

WEIR = """\
workers: 1
engine: {engine}
limits: {{ sessions: 6000 }}
logs: {{ access: off, events: stderr }}
listeners:
  bench:
    bind: {listen}
    pool: origin
    timeouts: {{ connect: 5s, idle: 1h }}
pools:
  origin:
    backends: ["{origin}"]
"""

HAPROXY = """\
global
    nbthread 1
    maxconn 6000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen bench
    bind {listen}
{splice}    server origin {origin}
"""

SPLICE = """\
    option splice-request
    option splice-response
"""

NGINX = """\
load_module {module};
{user}daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 12100; }}
stream {{
    access_log off;
    server {{
        listen {listen};
        proxy_pass {origin};
        proxy_connect_timeout 5s;
        proxy_timeout 1h;
    }}
}}
"""

ORIGIN = """\
{user}daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/origin.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    sendfile on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
{listens}
        default_type text/plain;
        location = /small {{ return 200 "{small}"; }}
        location = /bulk {{ root {directory}; }}
    }}
}}
"""


def text_of(address):
    return f"{address[0]}:{address[1]}"


def user_line():
    """nginx gives up root for a user that cannot read our directory, unless told not to."""
    return "user root;\n" if os.geteuid() == 0 else ""


@dataclass
class Candidate:
    key: str
    title: str
    kind: str
    variant: str = ""

    def configuration(self, listen, origin, directory):
        listen, origin = text_of(listen), text_of(origin)
        if self.kind == "weir":
            return WEIR.format(engine=self.variant, listen=listen, origin=origin)
        if self.kind == "haproxy":
            return HAPROXY.format(listen=listen, origin=origin, splice=SPLICE if self.variant else "")
        return NGINX.format(
            module=NGINX_STREAM_MODULE, user=user_line(), directory=directory, listen=listen, origin=origin
        )

    def command(self, weir, path):
        if self.kind == "weir":
            return [weir, "run", "-c", path, "--drain-timeout", "1"]
        if self.kind == "haproxy":
            return ["haproxy", "-db", "-f", path]
        return ["nginx", "-c", path]

    def start(self, bench, listen, origin):
        path = os.path.join(bench.directory, f"{self.key}.conf")
        with open(path, "w") as file:
            file.write(self.configuration(listen, origin, bench.directory))
        command = self.command(bench.weir, path)
        return Child(self.key, command, bench.cores.proxy, bench.directory)


ALL = {
    candidate.key: candidate
    for candidate in (
        Candidate("weir", "Weir (io_uring)", "weir", "io_uring"),
        Candidate("haproxy", "HAProxy", "haproxy"),
        Candidate("haproxy-splice", "HAProxy, splice", "haproxy", "splice"),
        Candidate("nginx", "nginx stream", "nginx"),
        Candidate("weir-epoll", "Weir (epoll)", "weir", "epoll"),
    )
}


def start_origin(bench):
    with open(os.path.join(bench.directory, "bulk"), "wb") as file:
        file.write(bench.bulk_body)
    path = os.path.join(bench.directory, "origin.conf")
    addresses = bench.addresses.origin_addresses()
    listens = "\n".join(f"        listen {text_of(address)} backlog=4096;" for address in addresses)
    with open(path, "w") as file:
        file.write(
            ORIGIN.format(
                user=user_line(), directory=bench.directory, listens=listens, small=SMALL_BODY.decode()
            )
        )
    child = Child("origin", ["nginx", "-c", path], bench.cores.load, bench.directory)
    child.wait_until_listening(addresses[-1])
    return child


def require_programs(weir):
    missing = [name for name in ("haproxy", "nginx", "wrk") if not shutil.which(name)]
    if not os.path.exists(NGINX_STREAM_MODULE):
        missing.append("nginx's stream module")
    if missing:
        raise BenchError(f"missing: {', '.join(missing)}; try `apt-get install {DEBIAN_PACKAGES}`")
    if not os.access(weir, os.X_OK):
        raise BenchError(f"no Weir at {weir}: `make build` first, or name it with --weir PATH")
