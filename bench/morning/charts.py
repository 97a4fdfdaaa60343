"""Charts as SVG, which every browser shows and no library is needed for."""

import math
from collections.abc import Mapping, Sequence

from bench.morning.journal import Sample
from bench.morning.measures import percentile
from bench.morning.timetable import Action, Phase

WIDTH, HEIGHT = 960, 340
LEFT, RIGHT, TOP, BOTTOM = 60, 190, 30, 40
COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#edae49", "#6a4c93", "#00798c")
# Milliseconds at the bottom of the chart and, at least, at its top.
LOWEST, HIGHEST = 1.0, 1000.0
SLICE_SECONDS = 2.0


def over_time(samples: Sequence[Sample], phases: Sequence[Phase]) -> str:
    """Draw the 95th percentile of each two seconds, by action, on a log scale."""
    end = phases[-1].ends
    worst = max([1000 * (each.done - each.due) for each in samples], default=HIGHEST)
    top = 10 ** math.ceil(math.log10(max(worst, HIGHEST)))

    def x(second: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * second / end

    def y(ms: float) -> float:
        share = math.log10(max(ms, LOWEST) / LOWEST) / math.log10(top / LOWEST)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [text(LEFT, 16, "p95 of what was due in each 2 s, in ms, until answered")]
    ms = LOWEST
    while ms <= top:
        parts += [
            line(LEFT, y(ms), WIDTH - RIGHT, y(ms)),
            text(4, y(ms) + 4, f"{ms:,.0f}"),
        ]
        ms *= 10
    for phase in phases:
        parts += [
            line(x(phase.begins), TOP, x(phase.begins), HEIGHT - BOTTOM),
            text(x(phase.begins) + 4, HEIGHT - 22, phase.name),
            text(x(phase.begins) + 4, HEIGHT - 6, f"{phase.begins:g} s"),
        ]
    actions = [action for action in Action if any(s.action is action for s in samples)]
    for number, action in enumerate(actions):
        colour = COLOURS[number]
        slices: dict[int, list[float]] = {}
        for each in samples:
            if each.action is action:
                key = int(each.due // SLICE_SECONDS)
                slices.setdefault(key, []).append(1000 * (each.done - each.due))
        points = " ".join(
            f"{x((key + 0.5) * SLICE_SECONDS):.1f},"
            f"{y(percentile(sorted(found), 0.95)):.1f}"
            for key, found in sorted(slices.items())
        )
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.6"'
            f' points="{points}"/>'
        )
        parts.append(text(WIDTH - RIGHT + 10, TOP + 18 * number + 10, action, colour))
    return svg(parts)


def bars(cores: Mapping[str, Mapping[str, float]]) -> str:
    """Draw for each phase how many cores each part kept busy, one upon the other."""
    highest = max(sum(used.values()) for used in cores.values()) or 1.0
    scale = (HEIGHT - TOP - BOTTOM) / highest
    step = (WIDTH - LEFT - RIGHT) / len(cores)
    parts = [text(LEFT, 16, "cores in use")]
    for column, (name, used) in enumerate(cores.items()):
        bottom = float(HEIGHT - BOTTOM)
        for number, share in enumerate(used.values()):
            height = share * scale
            bottom -= height
            parts.append(
                f'<rect x="{LEFT + column * step + 10:.1f}" y="{bottom:.1f}"'
                f' width="{step * 0.6:.1f}" height="{height:.1f}"'
                f' fill="{COLOURS[number]}"/>'
            )
        total = f"{name}: {sum(used.values()):.2f}"
        parts.append(text(LEFT + column * step + 10, HEIGHT - 22, total))
    for number, part in enumerate(next(iter(cores.values()))):
        x, y = WIDTH - RIGHT + 10, TOP + 18 * number + 10
        parts.append(text(x, y, part, COLOURS[number]))
    return svg(parts)


def svg(parts: Sequence[str], width: int = WIDTH, height: int = HEIGHT) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(parts)}</svg>'
    )


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'
    )


def text(x: float, y: float, text: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}">{text}</text>'
