"""The pictures of docs/benchmarks.md, out of one run."""

import os

import candidates
from load import CELLS
from pictures import Bar, Line, Row, draw_bars, draw_latencies, draw_lines
from results import median_of, spread_of, usable

BAR_CELLS = ("small", "http-small", "mixed", "http-mixed", "fresh", "bulk", "http-bulk")
BAR_TITLES = {
    "small": "tcp, small", "http-small": "http, small", "mixed": "tcp, mixed sizes", "http-mixed": "http, mixed sizes",
    "fresh": "tcp, a connection each", "bulk": "tcp, bulk", "http-bulk": "http, bulk",
}
CONNECTION_CELLS = (("connections", ""), ("http-connections", "http-"))


def bars(rounds, cell):
    found = []
    for key in cell.contestants:
        value = median_of(rounds, key)
        if value is not None:
            found.append(Bar(candidates.ALL[key].title, value, *spread_of(rounds, key), is_ours="weir" in key))
    return found


def costs(load):
    groups = []
    for key in BAR_CELLS:
        drawn = bars(usable(load[key]), CELLS[key]) if any(load.get(key, [])) else []
        if drawn:
            groups.append((f"{BAR_TITLES[key]}, us/{CELLS[key].unit}", drawn))
    return draw_bars(groups, "CPU time of the proxy for a unit of work") if groups else None


def by_connections(load):
    lines = []
    for cell, prefix in CONNECTION_CELLS:
        rounds = usable(load.get(cell, []))
        for name in ("weir", "haproxy", "nginx"):
            keys = ((count, f"{prefix}{name}@{count}") for count in candidates.CONNECTIONS)
            points = [(count, median_of(rounds, key)) for count, key in keys if median_of(rounds, key) is not None]
            if len(points) > 1:
                title = candidates.ALL[f"{prefix}{name}"].title.removesuffix(" (io_uring)")
                lines.append(Line(title, points, is_ours=name == "weir", is_second=name == "nginx"))
    title = "CPU time of a small request by the number of connections"
    return draw_lines(lines, title, "connections", "us/request") if lines else None


def latencies(load):
    rounds = usable(load.get("http-open", []))
    rows = []
    for key in CELLS["http-open"].contestants:
        if median_of(rounds, key) is not None:
            name = candidates.ALL[key].title.replace(" http", "").replace(" (io_uring)", "")
            rows.append(Row(name, *(median_of(rounds, key, part) / 1000 for part in ("p50", "p99", "p99_9"))))
    return draw_latencies(rows, "Latency at 25, 50 and 75 % of capacity, http, open loop") if rows else None


PICTURES = (
    ("benchmarks-costs", costs, "Bars of CPU time for each cell: Weir and its peers"),
    ("benchmarks-connections", by_connections, "Lines of CPU time for a request over 10 to 5,000 connections"),
    ("benchmarks-latencies", latencies, "Latencies at 25, 50 and 75 % of capacity"),
)


def write(results, folder):
    """Draws those pictures that this run has figures for. Answers what shows them in Markdown."""
    shown = []
    for name, draw, text in PICTURES:
        picture = draw(results["load"])
        if picture:
            with open(os.path.join(folder, "pictures", f"{name}.svg"), "w") as file:
                file.write(picture)
            shown.append(f"![{text}](pictures/{name}.svg)")
    return "\n\n".join(shown)
