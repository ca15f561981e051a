"""One scenario as SVG: resident memory above, CPU below, over the same seconds, with the
phases of each server as bars on top. CPU is in parts of one core, over windows long enough
to be read; Garage's is dashed, in the colour of the server that it worked for."""

from report import COLOURS, nice_step

WIDTH, LEFT, RIGHT = 900, 64, 18
BARS, PANEL, GAP = 44, 190, 34  # where the bars begin, heights of a panel and of what is between
WINDOWS = 120  # of CPU, over the whole width
WINDOW_MIN_S = 0.05


def plot(title, runs):
    """`runs` has for each server what `scenarios.run` gave."""
    seconds = max(curve[-1][0] for run in runs.values() for curve in run["samples"].values())
    window = max(WINDOW_MIN_S, seconds / WINDOWS)
    first = BARS + 34 + 12 * len(runs)
    second = first + PANEL + GAP
    height = second + PANEL + 66
    x = lambda at: LEFT + (WIDTH - LEFT - RIGHT) * max(at, 0) / seconds  # noqa: E731
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="15">{title}</text>']
    out += legend(runs) + phases(runs, x, first, second + PANEL)
    memory = {name: [(at, kib / 1024) for at, kib, _ in run["samples"]["server"]] for name, run in runs.items()}
    out += panel(first, "resident memory, MiB", x, [(COLOURS[name], "", curve) for name, curve in memory.items()])
    cpu = [(COLOURS[name], dash, processors(run["samples"][who], window)) for name, run in runs.items()
           for who, dash in (("garage", "4 3"), ("server", "")) if who in run["samples"]]
    out += panel(second, f"CPU, % of one core, over {1000 * window:.0f} ms", x, cpu)
    step = nice_step_below_one(seconds / 10)
    for number in range(int(seconds / step) + 1):
        at = number * step
        out.append(f'<text x="{x(at):.1f}" y="{second + PANEL + 18}" text-anchor="middle">{at:g}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 14}" text-anchor="middle">seconds</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def legend(runs):
    """At the right of the title."""
    entries = [(COLOURS[name], "", name) for name in runs]
    if any("garage" in run["samples"] for run in runs.values()):
        entries.append(("#555555", "4 3", "Garage (CPU)"))
    out = []
    for number, (colour, dash, name) in enumerate(entries):
        at = WIDTH - RIGHT - 130 * (len(entries) - number)
        out += [f'<line x1="{at}" y1="18" x2="{at + 22}" y2="18" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>',
                f'<text x="{at + 27}" y="22">{name}</text>']
    return out


def phases(runs, x, top, bottom):
    """A row of bars for each server; the names and the lines down are those of the first."""
    out = []
    for row, (name, run) in enumerate(runs.items()):
        y = BARS + 30 + 12 * row
        for number, phase in enumerate(run["phases"]):
            begin, end = x(phase["begin_s"]), x(phase["end_s"])
            out.append(f'<rect x="{begin:.1f}" y="{y}" width="{max(end - begin, 1):.1f}" height="9" fill="{COLOURS[name]}"/>')
            if row == 0:
                # In two lines in turn, so that neighbours have room.
                near_end = begin > WIDTH - RIGHT - 80
                at, anchor = (WIDTH - RIGHT, "end") if near_end else (begin, "start")
                out += [f'<text x="{at:.1f}" y="{BARS + 8 + 14 * (number % 2)}" text-anchor="{anchor}" '
                        f'font-size="11">{phase["name"]}</text>',
                        f'<line x1="{begin:.1f}" y1="{top}" x2="{begin:.1f}" y2="{bottom}" stroke="#bbbbbb" stroke-dasharray="2 3"/>']
    return out


def panel(top, title, x, curves):
    highest = max(value for _, _, curve in curves for _, value in curve)
    step = nice_step_below_one(max(highest, 0.1) / 5)
    ceiling = step * (int(highest / step) + 1)
    y = lambda value: top + PANEL - PANEL * value / ceiling  # noqa: E731
    out = []
    for number in range(int(round(ceiling / step)) + 1):
        at = y(number * step)
        out += [f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#e4e4e4"/>',
                f'<text x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{number * step:g}</text>']
    out.append(f'<text transform="translate(16 {top + PANEL / 2:.0f}) rotate(-90)" text-anchor="middle">{title}</text>')
    for colour, dash, curve in curves:
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in curve if at >= 0)
        width = 1 if dash else 1.5
        # Both are seen where they lie on each other.
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" '
                   f'stroke-opacity="0.75" stroke-dasharray="{dash}"/>')
    return out


def processors(rows, window):
    """From CPU seconds so far to percent of a core, in each window."""
    out, (since, _, before) = [], rows[0]
    for at, _, cpu in rows:
        if at - since >= window:
            out.append(((at + since) / 2, 100 * (cpu - before) / (at - since)))
            since, before = at, cpu
    return out


def nice_step_below_one(rough):
    """As nice_step, for tenths and hundredths too."""
    return nice_step(rough * 1000) / 1000
