"""A plot of stacked bars as SVG: one bar a row, one color a part."""

from collections.abc import Mapping
from html import escape

WIDTH, LEFT, RIGHT = 860, 250, 90
BAR, GAP, TOP = 22, 12, 64
# Told apart by people with any color vision (Okabe and Ito).
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#999999")


def stacked_bars(title: str, rows: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """``rows``: by label, the parts of each bar in their order; all rows have the same parts."""
    parts = list(next(iter(rows.values())))
    longest = max(sum(row.values()) for row in rows.values())
    per_unit = (WIDTH - LEFT - RIGHT) / longest
    height = TOP + len(rows) * (BAR + GAP) + 6
    shapes = [_text(10, 20, title, "font-weight='bold'")]
    place = 10.0
    for part, color in zip(parts, COLORS, strict=False):
        shapes += [_box(place, 34, 12, 12, color, part), _text(place + 16, 44, part)]
        place += 16 + 7.2 * len(part) + 18
    for number, (label, row) in enumerate(rows.items()):
        top, left = TOP + number * (BAR + GAP), float(LEFT)
        shapes.append(_text(LEFT - 8, top + 15, label, "text-anchor='end'"))
        for part, color in zip(parts, COLORS, strict=False):
            wide = row[part] * per_unit
            shapes.append(_box(left, top, wide, BAR, color, f"{part}: {row[part]:.1f} {unit}"))
            left += wide
        shapes.append(_text(left + 6, top + 15, f"{sum(row.values()):,.0f} {unit}"))
    style = "font-family='sans-serif' font-size='12' fill='#222'"
    body = "\n".join(shapes)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' {style}>\n"
        f"<rect width='100%' height='100%' fill='white'/>\n{body}\n</svg>\n"
    )


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {more}>{escape(text)}</text>"


def _box(x: float, y: float, width: float, height: float, color: str, title: str) -> str:
    return (
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' fill='{color}'>"
        f"<title>{escape(title)}</title></rect>"
    )
