"""Plots of a benchmark as SVG: ratios as bars, and the roofline."""

from __future__ import annotations

import html
import math

from .measure import Limits, Result

_WIDTH, _HEIGHT = 820, 360


def ratio_bars(rows: list[Result]) -> str:
    """A bar a row on a logarithmic axis, with a tick at the row's goal; the line is ratio 1."""
    low, high, left = 0.25, 16.0, 300

    def x(ratio: float) -> float:
        clipped = min(max(ratio, low), high)
        return left + (_WIDTH - left) * math.log(clipped / low) / math.log(high / low)

    parts = [f"<svg width={_WIDTH + 12} height={16 * len(rows) + 18}>"]
    for i, r in enumerate(rows):
        y, color = 16 * i, "#3a7" if r.met else "#c55"
        start, end = sorted((x(1), x(r.ratio)))
        parts.append(
            f"<text x={left - 6} y={y + 12} font-size=11 text-anchor=end>"
            f"{html.escape(r.row.title)}</text>"
            f"<rect x={start:.1f} y={y + 3} width={max(end - start, 1):.1f} height=10 fill={color}>"
            f"<title>{r.ratio:.2f}</title></rect>"
            f"<rect x={x(r.row.goal):.1f} y={y + 1} width=2 height=14 />")
    bottom = 16 * len(rows)
    parts.append(f"<rect x={x(1):.1f} y=0 width=1 height={bottom} fill=#888 />")
    parts += [f"<text x={x(t):.1f} y={bottom + 14} font-size=10 text-anchor=middle>{t:g}</text>"
              for t in (0.25, 0.5, 1, 2, 4, 8, 16)]
    return "".join(parts) + "</svg>"


def roofline(results: list[Result], limits: Limits) -> str:
    """Operations a second over operations a byte, with the machine's limits as lines."""
    points = [r for r in results if not r.error and r.row.flops and r.row.bytes]
    if not points:
        return ""
    xs, ys = (-2.0, 3.0), (8.0, 13.0)  # powers of ten

    def place(intensity: float, rate: float) -> tuple[float, float]:
        u = (math.log10(max(intensity, 1e-9)) - xs[0]) / (xs[1] - xs[0])
        v = (math.log10(max(rate, 1.0)) - ys[0]) / (ys[1] - ys[0])
        return 40 + u * (_WIDTH - 60), _HEIGHT - 30 - v * (_HEIGHT - 50)

    parts = [f"<svg width={_WIDTH} height={_HEIGHT}>"]
    for kind in ("f32", "bf16", "i8"):
        peak = limits.peak(kind)
        for level, rate in limits.copies.items():
            path = [place(10 ** (xs[0] + i * (xs[1] - xs[0]) / 60),
                          min(peak, rate * 10 ** (xs[0] + i * (xs[1] - xs[0]) / 60)))
                    for i in range(61)]
            parts.append("<polyline fill=none stroke=#bbb points='"
                         + " ".join(f"{a:.0f},{b:.0f}" for a, b in path)
                         + f"'><title>{kind}, {level}</title></polyline>")
        x, y = place(10 ** xs[1], peak)
        parts.append(f"<text x={x:.0f} y={y - 3:.0f} font-size=10 text-anchor=end>{kind}</text>")
    for r in points:
        x, y = place(r.row.flops / r.row.bytes, r.row.flops / r.best[1])
        parts.append(f"<circle cx={x:.1f} cy={y:.1f} r=3 fill={'#3a7' if r.met else '#c55'}>"
                     f"<title>{html.escape(r.row.name)}</title></circle>")
    parts.append(f"<text x=40 y={_HEIGHT - 8} font-size=11>operations a byte, "
                 f"10^{xs[0]:g} to 10^{xs[1]:g}; upwards operations a second, "
                 f"10^{ys[0]:g} to 10^{ys[1]:g}</text>")
    return "".join(parts) + "</svg>"
