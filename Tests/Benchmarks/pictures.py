"""Draws tables of latencies as SVG, plain in light and in dark."""

from dataclasses import dataclass
from math import log10

WIDTH, LEFT, RIGHT, TOP, STEP, BOTTOM = 720, 150, 30, 64, 30, 34

STYLE = """\
<style>
text { font: 13px sans-serif; fill: #1f2328 }
.quiet { fill: #59636e }
.grid { stroke: #8c959f; stroke-opacity: .35 }
.range { stroke: #8c959f; stroke-width: 3; stroke-linecap: round }
.p50 { fill: #1a7f37 } .p99 { fill: #0969da } .p999 { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .quiet { fill: #9198a1 }
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


def draw_latencies(rows, title):
    """A row for each policy: p50, p99 and p99.9 as dots on one line."""
    scale = Scale(rows)
    height = TOP + STEP * len(rows) + BOTTOM
    floor = TOP + STEP * len(rows)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
             f"<title>{title}</title>", STYLE, f'<text x="10" y="22" font-weight="bold">{title}</text>']
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
