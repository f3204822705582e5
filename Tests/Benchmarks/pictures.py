"""Draws tables of latencies and of costs as SVG, plain in light and in dark."""

from dataclasses import dataclass
from math import log10

WIDTH, LEFT, RIGHT, TOP, STEP, BOTTOM = 720, 150, 30, 64, 30, 34

STYLE = """\
<style>
text { font: 13px sans-serif; fill: #1f2328 }
.quiet { fill: #59636e }
.grid { stroke: #8c959f; stroke-opacity: .35 }
.range { stroke: #8c959f; stroke-width: 3; stroke-linecap: round }
.bar { fill: #afb8c1 } .ours { fill: #1a7f37 }
.line { fill: none; stroke-width: 2; stroke: #8c959f }
.line.ours { fill: none; stroke: #1a7f37 } .line.second { stroke-dasharray: 6 4 }
.p50 { fill: #1a7f37 } .p99 { fill: #0969da } .p999 { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .quiet { fill: #9198a1 }
.bar { fill: #656c76 } .ours { fill: #3fb950 } .line.ours { stroke: #3fb950 }
.p50 { fill: #3fb950 } .p99 { fill: #4493f8 } .p999 { fill: #f0883e }
}
</style>"""


@dataclass
class Row:
    """Milliseconds."""

    name: str
    p50: float
    p99: float
    p99_9: float


@dataclass
class Bar:
    """A figure with its smallest and its largest."""

    name: str
    value: float
    least: float
    most: float
    is_ours: bool


@dataclass
class Line:
    """A figure by x, as (x, y); the second of those with the same colour is dashed."""

    name: str
    points: list
    is_ours: bool
    is_second: bool = False


class Scale:
    """Logarithmic, over whole steps of 1, 2, 5, 10."""

    def __init__(self, rows):
        steps = [digit * 10.0**power for power in range(-3, 5) for digit in (1, 2, 5)]
        least, most = min(row.p50 for row in rows), max(row.p99_9 for row in rows)
        first = max(step for step in steps if step <= least)
        last = min(step for step in steps if step >= most)
        self.marks = [step for step in steps if first <= step <= last]

    def x(self, value):
        low, high = log10(self.marks[0]), log10(self.marks[-1])
        return LEFT + (log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def beginning(title, height):
    return [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{title}</title>", STYLE, f'<text x="10" y="22" font-weight="bold">{title}</text>']


def draw_latencies(rows, title):
    """A row for each policy: p50, p99 and p99.9 as dots on one line."""
    scale = Scale(rows)
    floor = TOP + STEP * len(rows)
    parts = beginning(title, floor + BOTTOM)
    for index, (name, label) in enumerate((("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"))):
        x = LEFT + 80 * index
        parts.append(f'<circle class="{name}" cx="{x}" cy="42" r="5"/><text x="{x + 10}" y="46">{label}</text>')
    for mark in scale.marks:
        x = scale.x(mark)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{floor}"/>')
        parts.append(f'<text class="quiet" x="{x:.1f}" y="{floor + 20}" text-anchor="middle">{mark:g} ms</text>')
    for index, row in enumerate(rows):
        y = TOP + STEP * index + STEP // 2
        parts.append(f'<text x="10" y="{y + 4}">{row.name}</text>')
        parts.append(f'<line class="range" x1="{scale.x(row.p50):.1f}" x2="{scale.x(row.p99_9):.1f}" y1="{y}" y2="{y}"/>')
        for name, value in (("p999", row.p99_9), ("p99", row.p99), ("p50", row.p50)):
            parts.append(f'<circle class="{name}" cx="{scale.x(value):.1f}" cy="{y}" r="5"/>')
    return "\n".join([*parts, "</svg>\n"])


BAR_STEP, BAR_LEFT, BAR_RIGHT = 22, 200, 90


def draw_bars(groups, title):
    """Groups, each a headline and its bars: each has a scale of its own, because their units differ."""
    parts, y = [], 40
    for headline, bars in groups:
        y += 18
        parts.append(f'<text x="10" y="{y}">{headline}</text>')
        longest = max(bar.most for bar in bars)
        for bar in bars:
            parts += draw_bar(bar, longest, y + 8)
            y += BAR_STEP
        y += 14
    return "\n".join([*beginning(title, y), *parts, "</svg>\n"])


def draw_bar(bar, longest, y):
    def x(value):
        return BAR_LEFT + value / longest * (WIDTH - BAR_LEFT - BAR_RIGHT)

    middle = y + 7
    return [
        f'<text class="quiet" x="{BAR_LEFT - 8}" y="{y + 12}" text-anchor="end">{bar.name}</text>',
        f'<rect class="{"ours" if bar.is_ours else "bar"}" x="{BAR_LEFT}" y="{y}" width="{x(bar.value) - BAR_LEFT:.1f}" height="14"/>',
        f'<line class="range" x1="{x(bar.least):.1f}" x2="{x(bar.most):.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text x="{x(bar.most) + 8:.1f}" y="{y + 12}">{bar.value:,.1f}</text>',
    ]


def draw_lines(lines, title, x_label, y_label):
    """Lines over a logarithmic x; y begins at 0. Their names stand at their right ends."""
    left, right, top, floor = 60, 190, 50, 330
    marks = sorted({x for line in lines for x, _ in line.points})
    highest = 1.05 * max(y for line in lines for _, y in line.points)

    def x_of(value):
        return left + (log10(value) - log10(marks[0])) / (log10(marks[-1]) - log10(marks[0])) * (WIDTH - left - right)

    def y_of(value):
        return floor - value / highest * (floor - top)

    parts = beginning(title, floor + 50)
    step = max(1, round(highest / 50) * 10) if highest > 25 else 5
    for mark in range(0, int(highest) + 1, step):
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{y_of(mark):.1f}" y2="{y_of(mark):.1f}"/>')
        parts.append(f'<text class="quiet" x="{left - 8}" y="{y_of(mark) + 4:.1f}" text-anchor="end">{mark}</text>')
    for mark in marks:
        parts.append(f'<text class="quiet" x="{x_of(mark):.1f}" y="{floor + 20}" text-anchor="middle">{mark:,}</text>')
    parts.append(f'<text class="quiet" x="{left}" y="{top - 8}">{y_label}</text>')
    parts.append(f'<text class="quiet" x="{(left + WIDTH - right) / 2}" y="{floor + 42}" text-anchor="middle">{x_label}</text>')
    label_y = spread_out([y_of(line.points[-1][1]) for line in lines], 16)
    for line, y in zip(lines, label_y):
        kinds = f'line{" ours" if line.is_ours else ""}{" second" if line.is_second else ""}'
        points = " ".join(f"{x_of(x):.1f},{y_of(value):.1f}" for x, value in line.points)
        parts.append(f'<polyline class="{kinds}" points="{points}"/>')
        parts.append(f'<text x="{WIDTH - right + 10}" y="{y + 4:.1f}">{line.name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def spread_out(values, gap):
    """The same places, moved down as far as it takes that none is nearer to another than `gap`."""
    places, last = {}, float("-inf")
    for index in sorted(range(len(values)), key=lambda index: values[index]):
        last = places[index] = max(values[index], last + gap)
    return [places[index] for index in range(len(values))]
