"""From runs to the table: medians, spread, ratios within rounds, and whether targets hold."""

import statistics
from dataclasses import dataclass

import candidates
import idle
from load import CELLS

START_LIMIT_MILLISECONDS = 50


@dataclass
class Target:
    """What one contestant of a cell uses over what the better of `peers` does is at most `limit`; the ratio is only
    shown where that is None."""

    cell: str
    peers: tuple
    limit: float | None
    against: str
    # The cell's first contestant where none is named.
    ours: str = ""
    # Of a run, and in words.
    figure: str = "figure"
    what: str = "CPU time"


def latency_target(figure, name, share):
    peers = (f"http-haproxy@{share}", f"http-nginx@{share}")
    return Target("http-open", peers, 1.0, f"the better of HAProxy and nginx, at {share} of capacity",
                  f"http-weir@{share}", figure, name)


def connection_targets(prefix):
    base, against = (f"{prefix}weir@64",), "64 connections"
    speaking, most = candidates.SPEAKING, max(candidates.CONNECTIONS)
    return (
        Target(f"{prefix}connections", base, 1.15, against, f"{prefix}weir@{speaking}-of-{most}",
               what=f"CPU time of a request, {speaking} of {most:,} connections speaking"),
        Target(f"{prefix}connections", base, 1.15, against, f"{prefix}weir@{most}",
               what=f"CPU time of a request, {most:,} connections speaking all the time"),
    )


BETTER = "the better of HAProxy and nginx"

TARGETS = (
    Target("small", ("haproxy", "nginx"), 1.0, BETTER),
    Target("small-wrk", ("haproxy", "nginx"), None, BETTER),
    *connection_targets(""),
    Target("mixed", ("haproxy", "nginx"), None, BETTER),
    Target("bulk", ("haproxy-splice",), 0.90, "HAProxy with splice"),
    Target("bulk", ("haproxy",), 0.35, "HAProxy without splice"),
    Target("fresh", ("haproxy", "nginx"), 1.0, BETTER),
    Target("http-small", ("http-haproxy", "http-nginx"), 0.65, BETTER),
    Target("http-small-wrk", ("http-haproxy", "http-nginx"), None, BETTER),
    *connection_targets("http-"),
    Target("http-mixed", ("http-haproxy", "http-nginx"), None, BETTER),
    Target("http-bulk", ("http-haproxy-splice",), 0.80, "HAProxy with splice"),
    Target("http-bulk", ("http-nginx",), 0.20, "nginx"),
    latency_target("p99", "p99 of latency", "50%"),
    latency_target("p99_9", "p99.9 of latency", "50%"),
    Target("http-small-batch", ("http-haproxy", "http-nginx"), 0.55, BETTER),
    Target("http-log", ("http-weir",), 1.08, "Weir without an access log"),
    Target("http-routes", ("http-weir-routes-10",), None, "10 routes"),
)


def usable(rounds):
    """The quiet rounds, or all of them where fewer than three were quiet."""
    quiet = [found for found in rounds if found and all(run["quiet"] for run in found.values())]
    return quiet if len(quiet) >= min(3, len(rounds)) else rounds


def median_of(rounds, key, name="figure"):
    values = [found[key][name] for found in rounds if key in found]
    return statistics.median(values) if values else None


def spread_of(rounds, key):
    values = [found[key]["figure"] for found in rounds if key in found]
    return min(values), max(values)


def ratio(rounds, ours, peer, name="figure"):
    """Median of the ratios within each round, with the smallest and the largest; None where they never met."""
    ratios = [found[ours][name] / found[peer][name] for found in rounds if ours in found and peer in found]
    return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def better_of(rounds, peers, name="figure"):
    present = [peer for peer in peers if median_of(rounds, peer, name)]
    return min(present, key=lambda peer: median_of(rounds, peer, name), default=None)


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    """Markdown; the first column is text, the others are numbers."""
    return "\n".join([row(head), row(["---"] + ["---:"] * (len(head) - 1)), *map(row, rows)])


def load_table(key, rounds):
    cell = CELLS[key]
    return latency_table(cell, rounds) if cell.is_open_loop else cost_table(cell, rounds)


def latency_table(cell, rounds):
    used = usable(rounds)
    rows = []
    for name in cell.contestants:
        if median_of(used, name) is None:
            continue
        tail = [found[name]["p99_9"] for found in used if name in found]
        rows.append([candidates.ALL[name].title, f"{median_of(used, name, 'units_per_second'):,.0f}",
                     *(f"{median_of(used, name, part):,.0f}" for part in ("p50", "p99", "p99_9")),
                     f"{min(tail):,.0f} to {max(tail):,.0f}", f"{median_of(used, name):.2f}"])
    head = ["", f"{cell.unit}s/s", "p50, us", "p99, us", "p99.9, us", "p99.9, smallest to largest", f"CPU us/{cell.unit}"]
    return f"**{cell.title}** ({rounds_text(rounds)})\n\n{table(head, rows)}"


def cost_table(cell, rounds):
    used = usable(rounds)
    rows = []
    first = cell.contestants[0]
    for name in cell.contestants:
        if median_of(used, name) is None:
            continue
        smallest, largest = spread_of(used, name)
        pair = ratio(used, first, name) if name != first else None
        rows.append([
            candidates.ALL[name].title,
            f"{median_of(used, name):.2f}",
            f"{smallest:.2f} to {largest:.2f}",
            f"{median_of(used, name, 'user'):.2f}",
            f"{median_of(used, name, 'system'):.2f}",
            f"{median_of(used, name, 'units_per_second'):,.0f}",
            f"{median_of(used, name, 'core_share'):.0%}",
            f"{pair[0]:.2f} ({pair[1]:.2f} to {pair[2]:.2f})" if pair else "",
        ])
    head = ["", f"us/{cell.unit}", "smallest to largest", "user", "system", f"{cell.unit}s/s", "of its core",
            "the first / this"]
    return f"**{cell.title}** ({rounds_text(rounds)})\n\n{table(head, rows)}"


def counted(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"


def rounds_text(rounds):
    used = usable(rounds)
    left_out = len(rounds) - len(used)
    text = counted(len(used), "round")
    if left_out:
        text += f", {left_out} more left out because others used the machine"
    disturbed = sum(not all(run["quiet"] for run in found.values()) for found in used)
    if disturbed:
        text += f"; {disturbed} of them DISTURBED by others on the machine"
    return text


def idle_table(key, rounds, count):
    cell = idle.CELLS[key]
    rows = [
        [candidates.ALL[name].title, f"{median_of(rounds, name):,.0f}", f"{median_of(rounds, name, 'silent'):,.0f}",
         f"{median_of(rounds, name, 'ground_kib'):,.0f}"]
        for name in cell.contestants if median_of(rounds, name) is not None
    ]
    head = ["", f"bytes/{cell.noun}, after {cell.use}", f"bytes/{cell.noun}, silent since opened",
            f"KiB without {cell.noun}s"]
    return f"**{cell.title}: {count:,} open {cell.noun}s** ({counted(len(rounds), 'round')})\n\n{table(head, rows)}"


def start_table(starts):
    rows = [
        [candidates.ALL[name].title, f"{statistics.median(times):.1f}", f"{min(times):.1f} to {max(times):.1f}"]
        for name, times in starts.items() if times
    ]
    count = max(map(len, starts.values()), default=0)
    return f"**start to listening** ({count} starts)\n\n{table(['', 'ms', 'smallest to largest'], rows)}"


def load_target_row(target, rounds):
    """None where this run has no figures for it."""
    peer = better_of(rounds, target.peers, target.figure)
    ours = target.ours or CELLS[target.cell].contestants[0]
    found = ratio(rounds, ours, peer, target.figure) if peer else None
    if not found:
        return None
    measured = f"{found[0]:.2f} ({found[1]:.2f} to {found[2]:.2f})"
    if len(target.peers) > 1:
        measured += f", {candidates.ALL[peer].title}"
    what = f"{target.cell}: {target.what} over that of {target.against}"
    if target.limit is None:
        return what, "shown only", measured, None
    return what, f"at most {target.limit:.2f}", measured, found[0] <= target.limit


def idle_target_row(key, rounds, count):
    cell = idle.CELLS[key]
    ours = median_of(rounds, cell.contestants[0])
    if ours is None:
        return None
    what = f"{key}: memory of an idle {cell.noun}, {count:,} open"
    return what, f"at most {cell.limit_bytes} B", f"{ours:,.0f} B", ours <= cell.limit_bytes


def target_rows(results):
    """(what, target, measured, holds) for each target that this run has figures for."""
    rows = [load_target_row(target, usable(results["load"].get(target.cell, []))) for target in TARGETS]
    rows += [idle_target_row(key, **found) for key, found in results["idle"].items()]
    if results["start"].get("weir"):
        middle = statistics.median(results["start"]["weir"])
        rows.append(("start to listening", f"under {START_LIMIT_MILLISECONDS} ms", f"{middle:.1f} ms",
                     middle < START_LIMIT_MILLISECONDS))
    return [each for each in rows if each]


def target_table(results):
    found = target_rows(results)
    if not found:
        return "**targets**\n\nNone was measured in this run."
    words = {True: "yes", False: "**NO**", None: ""}
    rows = [[what, limit, measured, words[holds]] for what, limit, measured, holds in found]
    return "**targets**\n\n" + table(["Weir on io_uring", "target", "measured", "holds"], rows)


def tables(results):
    """All tables that this run has figures for."""
    parts = [load_table(key, rounds) for key, rounds in results["load"].items() if any(rounds)]
    parts += [idle_table(key, **found) for key, found in results["idle"].items()]
    if results["start"]:
        parts.append(start_table(results["start"]))
    return parts
