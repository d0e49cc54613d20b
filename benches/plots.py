"""Curves as SVG, drawn by hand so that the bench needs no library."""

import math
from pathlib import Path

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 50
COLOURS = ["#1f6feb", "#d1242f", "#1a7f37"]

TITLES = {
    # name: (title, x axis, y axis, logarithmic y)
    "cost": ("CPU per check of a repeat token", "live revocations", "µs", False),
    "memory": ("Memory of the index", "live revocations", "MiB", True),
    "start": ("Start to ready", "live revocations on disk", "seconds", True),
    "connections": ("Throughput of one worker thread", "connections", "checks per second", False),
}


def write(directory: Path, series: dict[str, dict[str, list[tuple[float, float]]]]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, lines in series.items():
        (directory / f"{name}.svg").write_text(draw(*TITLES[name], lines))


def draw(title: str, x_name: str, y_name: str, log_y: bool, lines: dict[str, list[tuple[float, float]]]) -> str:
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x_range = (math.log10(min(xs)), math.log10(max(xs)))
    y_range = (math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))) if log_y else (0, nice(max(ys)))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - x_range[0]) / ((x_range[1] - x_range[0]) or 1)
        up = ((math.log10(y) if log_y else y) - y_range[0]) / ((y_range[1] - y_range[0]) or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{title}</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{x_name}</text>',
        f'<text x="{LEFT - 8}" y="{TOP - 8}" text-anchor="end">{y_name}</text>',
    ]
    ticks = [10**power for power in range(y_range[0], y_range[1] + 1)] if log_y else steps(y_range[1])
    for y in ticks:
        _, at = place(min(xs), y)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{short(y)}</text>')
    for x in sorted(set(xs)):
        at, _ = place(x, ticks[-1])
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{short(x)}</text>')
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in sorted(points)))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in points:
            x, y = place(*point)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT - 150}" y="{20 + 16 * number}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def nice(value: float) -> float:
    """The next of 1, 2, 5 × 10ⁿ."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def steps(top: float) -> list[float]:
    return [top * part / 5 for part in range(6)]


def short(value: float) -> str:
    for limit, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{suffix}"
    return f"{value:g}"
