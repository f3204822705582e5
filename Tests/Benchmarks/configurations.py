"""The configurations of Weir and its peers in tcp mode, and of the origin: templates for str.format."""

NGINX_STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

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

NGINX = "load_module " + NGINX_STREAM_MODULE + """;
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

# nginx creates these folders, used or not; its own defaults need not be writable.
TEMPORARY_FILES = """\
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
"""

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
