"""From runs to the table: medians, spread, ratios within rounds, and whether targets hold."""

import statistics
from dataclasses import dataclass

import candidates
from load import CELLS

IDLE_LIMIT_BYTES = 1024
START_LIMIT_MILLISECONDS = 50
IDLE_CONTESTANTS = ("weir", "haproxy", "nginx", "weir-epoll")


@dataclass
class Target:
    """Weir's figure over that of the better of `peers` is at most `limit`."""

    cell: str
    peers: tuple
    limit: float
    against: str


TARGETS = (
    Target("small", ("haproxy", "nginx"), 1.0, "the better of HAProxy and nginx"),
    Target("bulk", ("haproxy-splice",), 1.0, "HAProxy with splice"),
    Target("bulk", ("haproxy",), 0.35, "HAProxy without splice"),
    Target("fresh", ("haproxy",), 1.0, "HAProxy"),
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


def ratio(rounds, ours, peer):
    """Median of the ratios within each round, with the smallest and the largest; None where they never met."""
    ratios = [found[ours]["figure"] / found[peer]["figure"] for found in rounds if ours in found and peer in found]
    return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def better_of(rounds, peers):
    present = [peer for peer in peers if median_of(rounds, peer)]
    return min(present, key=lambda peer: median_of(rounds, peer), default=None)


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    """Markdown; the first column is text, the others are numbers."""
    return "\n".join([row(head), row(["---"] + ["---:"] * (len(head) - 1)), *map(row, rows)])


def load_table(key, rounds):
    cell = CELLS[key]
    used = usable(rounds)
    rows = []
    for name in cell.contestants:
        if median_of(used, name) is None:
            continue
        smallest, largest = spread_of(used, name)
        pair = ratio(used, "weir", name) if name != "weir" else None
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
            "Weir / this"]
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


def idle_table(rounds, sessions):
    rows = [
        [candidates.ALL[name].title, f"{median_of(rounds, name):,.0f}", f"{median_of(rounds, name, 'silent'):,.0f}",
         f"{median_of(rounds, name, 'ground_kib'):,.0f}"]
        for name in IDLE_CONTESTANTS if median_of(rounds, name) is not None
    ]
    head = ["", "bytes/session, after a message each way", "bytes/session, silent since opened", "KiB without sessions"]
    return f"**idle memory: {sessions:,} open sessions** ({counted(len(rounds), 'round')})\n\n{table(head, rows)}"


def start_table(starts):
    rows = [
        [candidates.ALL[name].title, f"{statistics.median(times):.1f}", f"{min(times):.1f} to {max(times):.1f}"]
        for name, times in starts.items() if times
    ]
    count = max(map(len, starts.values()), default=0)
    return f"**start to listening** ({count} starts)\n\n{table(['', 'ms', 'smallest to largest'], rows)}"


def target_rows(results):
    """(what, target, measured, holds) for each target that this run has figures for."""
    rows = []
    for target in TARGETS:
        rounds = usable(results["load"].get(target.cell, []))
        peer = better_of(rounds, target.peers)
        found = ratio(rounds, "weir", peer) if peer else None
        if found:
            measured = f"{found[0]:.2f} ({found[1]:.2f} to {found[2]:.2f})"
            if len(target.peers) > 1:
                measured += f", {candidates.ALL[peer].title}"
            rows.append((f"{target.cell}: CPU time over that of {target.against}", f"at most {target.limit:.2f}",
                         measured, found[0] <= target.limit))
    idle = median_of(results["idle"], "weir")
    if idle is not None:
        rows.append((f"memory of an idle session, {results['sessions']:,} open", f"at most {IDLE_LIMIT_BYTES} B", f"{idle:,.0f} B",
                     idle <= IDLE_LIMIT_BYTES))
    if results["start"].get("weir"):
        middle = statistics.median(results["start"]["weir"])
        rows.append(("start to listening", f"under {START_LIMIT_MILLISECONDS} ms", f"{middle:.1f} ms",
                     middle < START_LIMIT_MILLISECONDS))
    return rows


def target_table(results):
    if not target_rows(results):
        return "**targets**\n\nNone was measured in this run."
    rows = [[what, limit, measured, "yes" if holds else "**NO**"] for what, limit, measured, holds in target_rows(results)]
    return "**targets**\n\n" + table(["Weir on io_uring", "target", "measured", "holds"], rows)


def tables(results):
    """All tables that this run has figures for."""
    parts = [load_table(key, rounds) for key, rounds in results["load"].items() if any(rounds)]
    if results["idle"]:
        parts.append(idle_table(results["idle"], results["sessions"]))
    if results["start"]:
        parts.append(start_table(results["start"]))
    return parts
