"""The configurations of Weir, its peers and the origin: templates for str.format. In http mode connections are kept on
both sides and the origin is told the client's address; nobody writes an access log unless a cell is about it."""

NGINX_STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

# What all requests say in Host, and what the one route of Weir that takes them matches.
HOST = "bench.example.com"

# Of Weir's listener, by mode. In http mode Weir also sends X-Forwarded-Proto, -Host and -Port and an id of the
# request, which are its defaults.
WEIR_LISTENER = {
    "tcp": """\
    pool: origin
    timeouts: { connect: 5s, idle: 1h }""",
    "http": """\
    mode: http
{routing}
    timeouts: { connect: 5s, idle: 1h, keep_alive: 1h }""",
}
# As many kept connections to the origin as there may be clients, as with the peers.
WEIR_POOL = {"tcp": "", "http": "    keep_alive: { idle: 6000 }\n", "batch": "    keep_alive: { idle: 6000, batch: 8 }\n"}

WEIR = """\
workers: {workers}
engine: {engine}
limits: {{ sessions: 6000 }}
logs: {{ access: {access}, events: stderr }}
listeners:
  bench:
    bind: {listen}
{listener}
pools:
  origin:
{pool}    backends: ["{origin}"]
"""

HAPROXY_DEFAULTS = {"tcp": "", "http": "    http-reuse always\n"}
HAPROXY_LISTENER = {"tcp": "", "http": "    option forwardfor\n"}

HAPROXY = """\
global
    nbthread {workers}
    maxconn 6000
defaults
    mode {mode}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
{defaults}listen bench
    bind {listen}
{listener}{splice}    server origin {origin}
"""

SPLICE = """\
    option splice-request
    option splice-response
"""

# nginx creates these folders, used or not; its own defaults need not be writable.
TEMPORARY_FILES = """\
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
"""

# Log nothing below `error`: as a warning nginx would write a line for each large response that it buffers in a file.
NGINX_BEGIN = """\
{user}daemon off;
worker_processes {workers};
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 12100; }}
"""

NGINX = {
    "tcp": "load_module " + NGINX_STREAM_MODULE + ";\n" + NGINX_BEGIN + """\
stream {{
    access_log off;
    server {{
        listen {listen};
        proxy_pass {origin};
        proxy_connect_timeout 5s;
        proxy_timeout 1h;
    }}
}}
""",
    "http": NGINX_BEGIN + """\
http {{
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
""" + TEMPORARY_FILES + """\
    upstream origin {{
        server {origin};
        keepalive 6000;
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
""",
}

# `/facts` tells what a proxy did to the request that it came with: see verification.py.
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
""" + TEMPORARY_FILES + """\
    server {{
{listens}
        default_type text/plain;
        location = /small {{ return 200 "{small}"; }}
        location = /facts {{ return 200 "$connection_requests $http_x_forwarded_for"; }}
        location = /bulk {{ root {directory}; }}
    }}
}}
"""

EVERYTHING = "    pool: origin"


def weir(mode, engine="io_uring", workers=1, routing=EVERYTHING, access="off", pool=None):
    """The values of WEIR but the addresses; `pool` is one of WEIR_POOL, the mode's own where none is named."""
    listener = WEIR_LISTENER[mode].replace("{routing}", routing)
    return {"engine": engine, "workers": workers, "access": access, "listener": listener, "pool": WEIR_POOL[pool or mode]}


def haproxy(mode, workers=1, splice=""):
    """The values of HAPROXY but the addresses."""
    return {"mode": mode, "workers": workers, "splice": splice, "defaults": HAPROXY_DEFAULTS[mode],
            "listener": HAPROXY_LISTENER[mode]}


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
