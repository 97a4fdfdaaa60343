"""One small chart for each figure, in one SVG."""

from collections.abc import Sequence

from bench.morning.charts import COLOURS, line, svg, text
from bench.soak.readings import Series

COLUMNS = 3
CELL_WIDTH, CELL_HEIGHT = 320, 120
TOP, BOTTOM, SIDE = 26, 10, 12


def small_multiples(
    series: Sequence[Series], begins: float, ends: float, judged: tuple[float, float]
) -> str:
    """Draw each from 0 to its highest value; two lines enclose what was judged."""
    rows = -(-len(series) // COLUMNS)
    parts: list[str] = []
    for number, each in enumerate(series):
        left = number % COLUMNS * CELL_WIDTH + SIDE
        top = number // COLUMNS * CELL_HEIGHT + TOP
        parts += _one(each, left, top, begins, ends, judged)
    return svg(parts, COLUMNS * CELL_WIDTH, rows * CELL_HEIGHT + TOP)


def _one(
    series: Series,
    left: float,
    top: float,
    begins: float,
    ends: float,
    judged: tuple[float, float],
) -> list[str]:
    width, height = CELL_WIDTH - 2 * SIDE, CELL_HEIGHT - TOP - BOTTOM
    highest = max(series.values) or 1.0

    def x(second: float) -> float:
        return left + width * (second - begins) / (ends - begins)

    points = " ".join(
        f"{x(time):.1f},{top + height * (1 - value / highest):.1f}"
        for time, value in zip(series.times, series.values, strict=True)
    )
    curve = (
        f'<polyline fill="none" stroke="{COLOURS[0]}" stroke-width="1.4"'
        f' points="{points}"/>'
    )
    return [
        text(left, top - 6, f"{series.name}, 0 to {highest:,.0f} {series.unit}"),
        line(left, top + height, left + width, top + height),
        *(line(x(edge), top, x(edge), top + height) for edge in judged),
        curve,
    ]
