"""The configurations in http mode: kept connections to clients and to the origin, X-Forwarded-For for the origin, no
access log unless a cell is about it."""

from configurations import TEMPORARY_FILES

# What all requests say in Host, and what the one route of Weir that takes them matches.
HOST = "bench.example.com"

# Weir also sends X-Forwarded-Proto, -Host and -Port and an id of the request, which are its defaults.
WEIR = """\
workers: 1
engine: {engine}
limits: {{ sessions: 6000 }}
logs: {{ access: {access}, events: stderr }}
listeners:
  bench:
    bind: {listen}
    mode: http
{routing}
    timeouts: {{ connect: 5s, idle: 1h, keep_alive: 1h }}
pools:
  origin:
    backends: ["{origin}"]
"""

HAPROXY = """\
global
    nbthread 1
    maxconn 6000
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    http-reuse always
listen bench
    bind {listen}
    option forwardfor
{splice}    server origin {origin}
"""

# Not below `error`: as a warning it would write a line for each large response that it buffers in a file.
NGINX = """\
{user}daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 12100; }}
http {{
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
""" + TEMPORARY_FILES + """\
    upstream origin {{
        server {origin};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""

EVERYTHING = "    pool: origin"


def routes(count):
    """So many routes of the kinds that sites have; only the last one takes the requests of the benchmark, and there
    is no pool for what none takes: a request that got lost would fail the run."""
    matches = []
    for number in range(count - 1):
        kinds = (
            f"host: tenant-{number}.example.com, path: /v1/*",
            f"host: {HOST}, path: /service-{number}/*",
            f'host: "*.region-{number}.example.com", method: [GET, HEAD]',
        )
        matches.append(kinds[number % len(kinds)])
    matches.append(f"host: {HOST}, path: /*")
    lines = ["    routes:"]
    lines += [f"      - match: {{ {match} }}\n        pool: origin" for match in matches]
    return "\n".join(lines)
