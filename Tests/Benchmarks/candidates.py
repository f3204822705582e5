"""What is measured: Weir and its peers, each with the configuration that docs/benchmarks.md prints."""

import os
import shutil
from dataclasses import dataclass, field

import configurations
import http_configurations
from processes import BenchError, Child

SMALL_BODY = b"0123456789abcdef" * 8
BULK_BYTES = 1 << 20
DEBIAN_PACKAGES = "haproxy nginx libnginx-mod-stream wrk"


def text_of(address):
    return f"{address[0]}:{address[1]}"


def user_line():
    """nginx gives up root for a user that cannot read our directory, unless told not to."""
    return "user root;\n" if os.geteuid() == 0 else ""


def access_log_path(directory):
    return os.path.join(directory, "access.log")


@dataclass
class Candidate:
    key: str
    title: str
    program: str
    template: str
    # For the template.
    values: dict = field(default_factory=dict)
    is_http: bool = False
    is_logging: bool = False
    # Where the docs should not print the whole configuration.
    summary: str = ""

    def configuration(self, listen, origin, directory):
        return self.template.format(
            listen=text_of(listen), origin=text_of(origin), directory=directory, user=user_line(),
            access=access_log_path(directory) if self.is_logging else "off", **self.values
        )

    def command(self, weir, path):
        if self.program == "weir":
            return [weir, "run", "-c", path, "--drain-timeout", "1"]
        if self.program == "haproxy":
            return ["haproxy", "-db", "-f", path]
        return ["nginx", "-c", path]

    def start(self, bench, listen, origin):
        path = os.path.join(bench.directory, f"{self.key}.conf")
        with open(path, "w") as file:
            file.write(self.configuration(listen, origin, bench.directory))
        command = self.command(bench.weir, path)
        return Child(self.key, command, bench.cores.proxy, bench.directory)


def tcp_candidates():
    weir, haproxy = configurations.WEIR, configurations.HAPROXY
    return (
        Candidate("weir", "Weir (io_uring)", "weir", weir, {"engine": "io_uring"}),
        Candidate("haproxy", "HAProxy", "haproxy", haproxy, {"splice": ""}),
        Candidate("haproxy-splice", "HAProxy, splice", "haproxy", haproxy, {"splice": configurations.SPLICE}),
        Candidate("nginx", "nginx stream", "nginx", configurations.NGINX),
        Candidate("weir-epoll", "Weir (epoll)", "weir", weir, {"engine": "epoll"}),
    )


def http_weir(suffix, title, engine="io_uring", routing=http_configurations.EVERYTHING, **more):
    values = {"engine": engine, "routing": routing}
    template = http_configurations.WEIR
    return Candidate(f"http-weir{suffix}", f"Weir http{title}", "weir", template, values, is_http=True, **more)


def http_haproxy(suffix, title, splice):
    values, template = {"splice": splice}, http_configurations.HAPROXY
    return Candidate(f"http-haproxy{suffix}", f"HAProxy http{title}", "haproxy", template, values, is_http=True)


def http_candidates():
    return (
        http_weir("", " (io_uring)"),
        http_haproxy("", "", ""),
        http_haproxy("-splice", ", splice", configurations.SPLICE),
        Candidate("http-nginx", "nginx http", "nginx", http_configurations.NGINX, is_http=True),
        http_weir("-epoll", " (epoll)", engine="epoll"),
        http_weir("-log", ", access log in a file", is_logging=True),
        http_weir("-routes-10", ", 10 routes", routing=http_configurations.routes(10)),
        http_weir("-routes-1000", ", 1,000 routes", routing=http_configurations.routes(1000),
                  summary="As with 10 routes, and 990 more of the same three kinds before the last one."),
    )


ALL = {candidate.key: candidate for candidate in (*tcp_candidates(), *http_candidates())}


def origin_configuration(listens, directory):
    return configurations.ORIGIN.format(
        user=user_line(), directory=directory, listens="\n".join(f"        listen {text} backlog=4096;" for text in listens),
        small=SMALL_BODY.decode(),
    )


def start_origin(bench):
    with open(os.path.join(bench.directory, "bulk"), "wb") as file:
        file.write(bench.bulk_body)
    path = os.path.join(bench.directory, "origin.conf")
    addresses = bench.addresses.origin_addresses()
    with open(path, "w") as file:
        file.write(origin_configuration(map(text_of, addresses), bench.directory))
    child = Child("origin", ["nginx", "-c", path], bench.cores.load, bench.directory)
    child.wait_until_listening(addresses[-1])
    return child


def require_programs(weir, weir_bench):
    missing = [name for name in ("haproxy", "nginx", "wrk") if not shutil.which(name)]
    if not os.path.exists(configurations.NGINX_STREAM_MODULE):
        missing.append("nginx's stream module")
    if missing:
        raise BenchError(f"missing: {', '.join(missing)}; try `apt-get install {DEBIAN_PACKAGES}`")
    if not os.access(weir, os.X_OK):
        raise BenchError(f"no Weir at {weir}: `make build` first, or name it with --weir PATH")
    if not os.access(weir_bench, os.X_OK):
        raise BenchError(f"no weir-bench at {weir_bench}: `make weir-bench` first")
