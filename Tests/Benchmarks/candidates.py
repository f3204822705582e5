"""What is measured: Weir and its peers, each with the configuration that docs/benchmarks.md prints."""

import os
import shutil
from dataclasses import dataclass, field, replace

import configurations
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
    # Of a variant, which is configured like another candidate and differs in the load that it gets: whose it is,
    # connections instead of the cell's, and the share of the capacity that it gets in an open loop.
    variant_of: str | None = None
    connections: int | None = None
    # Connections beside those, which had one answer and say no more.
    silent: int = 0
    share: float | None = None

    def configuration(self, listen, origin, directory):
        values = dict(self.values)
        if self.is_logging:
            values["access"] = access_log_path(directory)
        return self.template.format(
            listen=text_of(listen), origin=text_of(origin), directory=directory, user=user_line(), **values)

    def command(self, weir, path):
        if self.program == "weir":
            return [weir, "run", "-c", path, "--drain-timeout", "1"]
        if self.program == "haproxy":
            return ["haproxy", "-db", "-f", path]
        return ["nginx", "-c", path]

    @property
    def has_core_alone(self):
        """With two workers on two cores the load is on the same ones."""
        return self.values["workers"] == 1

    def start(self, bench, listen, origin):
        path = os.path.join(bench.directory, f"{self.key}.conf")
        with open(path, "w") as file:
            file.write(self.configuration(listen, origin, bench.directory))
        command = self.command(bench.weir, path)
        cores = {bench.cores.proxy} if self.has_core_alone else {bench.cores.proxy, bench.cores.load}
        return Child(self.key, command, cores, bench.directory)


def weir(mode, key, title, summary="", is_logging=False, **values):
    return Candidate(key, title, "weir", configurations.WEIR, configurations.weir(mode, **values),
                     is_http=mode == "http", is_logging=is_logging, summary=summary)


def haproxy(mode, key, title, **values):
    return Candidate(key, title, "haproxy", configurations.HAPROXY, configurations.haproxy(mode, **values),
                     is_http=mode == "http")


def nginx(mode, key, title, workers=1):
    return Candidate(key, title, "nginx", configurations.NGINX[mode], {"workers": workers}, is_http=mode == "http")


def both_modes(mode):
    """Keys in http mode begin with `http-`."""
    key, title = ("", "") if mode == "tcp" else ("http-", " http")
    nginx_title = "nginx stream" if mode == "tcp" else "nginx http"
    return (
        weir(mode, f"{key}weir", f"Weir{title} (io_uring)"),
        haproxy(mode, f"{key}haproxy", f"HAProxy{title}"),
        haproxy(mode, f"{key}haproxy-splice", f"HAProxy{title}, splice", splice=configurations.SPLICE),
        nginx(mode, f"{key}nginx", nginx_title),
        weir(mode, f"{key}weir-epoll", f"Weir{title} (epoll)", engine="epoll"),
        weir(mode, f"{key}weir-2", f"Weir{title}, 2 workers", workers=2, summary="As with one, and `workers: 2`."),
        replace(haproxy(mode, f"{key}haproxy-2", f"HAProxy{title}, 2 threads", workers=2),
                summary="As with one, and `nbthread 2`."),
        replace(nginx(mode, f"{key}nginx-2", f"{nginx_title}, 2 workers", workers=2),
                summary="As with one, and `worker_processes 2`."),
    )


def http_only():
    return (
        weir("http", "http-weir-log", "Weir http, access log in a file", is_logging=True),
        weir("http", "http-weir-batch", "Weir http, `batch: 8`", pool="batch",
             summary="As with one request at a time on a connection, and `batch: 8` in `keep_alive`."),
        weir("http", "http-weir-routes-10", "Weir http, 10 routes", routing=configurations.routes(10)),
        weir("http", "http-weir-routes-1000", "Weir http, 1,000 routes", routing=configurations.routes(1000),
             summary="As with 10 routes, and 990 more of the same three kinds before the last one."),
    )


CONNECTIONS = (10, 64, 1000, 5000)
# Few of many connections speak.
SPEAKING = 64
SHARES = (0.25, 0.5, 0.75)


def connection_variants(candidate):
    most = max(CONNECTIONS)
    few_speak = replace(candidate, key=f"{candidate.key}@{SPEAKING}-of-{most}",
                        title=f"{candidate.title}, {SPEAKING} of {most:,} connections speak",
                        variant_of=candidate.key, connections=SPEAKING, silent=most - SPEAKING)
    return [*(replace(candidate, key=f"{candidate.key}@{count}", title=f"{candidate.title}, {count:,} connections",
                      variant_of=candidate.key, connections=count) for count in CONNECTIONS), few_speak]


def share_variants(candidate):
    return [replace(candidate, key=f"{candidate.key}@{share:.0%}", title=f"{candidate.title} at {share:.0%}",
                    variant_of=candidate.key, share=share) for share in SHARES]


def all_candidates():
    plain = (*both_modes("tcp"), *both_modes("http"), *http_only())
    variants = []
    for candidate in plain:
        if candidate.key in ("weir", "haproxy", "nginx", "http-weir", "http-weir-batch", "http-haproxy", "http-nginx"):
            variants += connection_variants(candidate) + share_variants(candidate)
    return {candidate.key: candidate for candidate in (*plain, *variants)}


ALL = all_candidates()


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
    child = Child("origin", ["nginx", "-c", path], {bench.cores.load}, bench.directory)
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
