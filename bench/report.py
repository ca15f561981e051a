"""From the figures of a run to the table and the plot.

Times are medians over the rounds. A ratio is taken inside each round, between
servers measured within the same few minutes, and the median of the ratios is shown.
"""

import statistics

GOAL_FASTER = 5  # times faster than Dovecot with mail_crypt
GOAL_SELECT_S = 0.1  # cold SELECT of 10,000 messages
GOAL_FLAT = 0.8  # APPEND rate at the end, as a part of the rate at the start
FLOOR_S = 1e-4  # times below are rounded to 0 by imapbench.py
PLAIN, CRYPT = "dovecot", "dovecot-mail-crypt"
TITLES = {PLAIN: "Dovecot", CRYPT: "Dovecot, mail_crypt",
          "restante-tokio": "restante-tokio", "restante-smol": "restante-smol"}
COLOURS = {PLAIN: "#999999", CRYPT: "#444444", "restante-tokio": "#c0392b", "restante-smol": "#2471a3"}
# (measure, row, title) of the timed commands, as imapbench.py names them
COMMANDS = (
    ("fetch", "full_peek", "FETCH everything, 100 messages, 19 MB"),
    ("fetch", "full_first_sets_seen", "the same, setting \\Seen"),
    ("search", "text_missing", "SEARCH TEXT, absent word"),
    ("search", "body_present", "SEARCH BODY, present word"),
    ("search", "subject_missing", "SEARCH SUBJECT"),
    ("fetch", "envelope", "FETCH ENVELOPE"),
    ("fetch", "bodystructure", "FETCH BODYSTRUCTURE"),
    ("fetch", "list_headers", "FETCH of the list's headers"),
    ("fetch", "one_full", "FETCH BODY[] of one message"),
    ("append", None, "APPEND of the 100 messages"),
)
LARGE = (
    ("select_after_restart", "SELECT, cold after a restart"),
    ("select_warm", "SELECT, warm"),
    ("fetch_flags", "FETCH FLAGS of all"),
    ("fetch_envelope", "FETCH ENVELOPE of all"),
    ("search_subject_missing", "SEARCH SUBJECT"),
    ("store_add_seen", "STORE \\Seen on all"),
)


def write(data, folder, name):
    (folder / f"{name}-append.svg").write_text(append_plot(data))
    (folder / f"{name}.md").write_text(markdown(data, name))


# ---- reading the figures


def round_walls(server, measure, row, figure="wall_s"):
    """The time of one command in each round; None where it failed or answered wrongly."""
    out = []
    for one in server["rounds"]:
        figures = one.get(measure) or {}
        figures = (figures.get(row) or {}) if row else figures
        out.append(figures.get(figure) if sound(figures, measure, row) else None)
    return out


def sound(figures, measure, row):
    """A fast wrong answer is no result: the hits, and the messages fetched, must be right."""
    if "error" in figures or figures.get("status", "OK") != "OK":
        return False
    if measure in ("fetch", "fetch_at_once"):
        return figures.get("fetch_responses") == (1 if row == "one_full" else 100)
    if row in ("text_missing", "subject_missing"):
        return figures.get("hits") == 0
    if row == "body_present":
        return figures.get("hits") == figures.get("expected_hits")
    return "wall_s" in figures


def median(values):
    good = [v for v in values if v is not None]
    return statistics.median(good) if good else None


def times_faster(slow, fast):
    """The median over the rounds of slow/fast, both from the same round."""
    return median([s / max(f, FLOOR_S) for s, f in zip(slow, fast) if s is not None and f is not None])


def failures(servers):
    """Every row that failed or answered wrongly, as text: none may hide in a median."""
    out = []
    for name, server in servers.items():
        runs = [(f"round {i + 1}", one) for i, one in enumerate(server["rounds"])]
        runs.append(("memory", server.get("memory") or {}))
        for when, one in runs:
            if one.get("server_ended"):
                out.append(f"{name}, {when}: the server {one['server_ended']} during the measures")
            for measure, row, title in COMMANDS:
                figures = (one.get(measure) or {}) if measure in one else None
                if figures is None:
                    continue
                figures = (figures.get(row) or {"error": "no result"}) if row else figures
                if not sound(figures, measure, row):
                    why = figures.get("error") or figures.get("reply") or "a wrong or missing answer"
                    out.append(f"{name}, {when}, {title}: {why}")
        large = server.get("large") or {}
        for row in ("append", *(row for row, _ in LARGE)):
            figures = large.get(row) or {"error": large.get("error", "no result")}
            if "error" in figures or figures.get("status", "OK") != "OK":
                out.append(f"{name}, large, {row}: {figures.get('error') or figures.get('reply')}")
        if idle_kib(server) is None:
            errors = [step["error"] for step in (server.get("idle") or {}).get("steps", []) if "error" in step]
            out.append(f"{name}, idle: {(errors or ['no result'])[0]}")
    return out


def failures_list(servers):
    found = failures(servers)
    if not found:
        return "## Failures\n\nNone: every command of every round succeeded with the right answer."
    return ("## Failures\n\nMedians leave these out; a goal with a failed round is not met.\n\n"
            + "\n".join(f"- {line}" for line in found))


def large_wall(server, row):
    figures = (server.get("large") or {}).get(row) or {}
    return figures.get("wall_s") if figures.get("status") == "OK" else None


def windows(server):
    figures = (server.get("large") or {}).get("append") or {}
    return figures.get("window_messages_per_s") or [], figures.get("window", 0)


def flatness(server):
    """The median rate of the last three windows over that of the first three."""
    rates, _ = windows(server)
    return median(rates[-3:]) / median(rates[:3]) if len(rates) >= 6 else None


def cpu_windows(server):
    """The server's CPU seconds for each message, in successive windows of APPEND."""
    steps = ((server.get("large") or {}).get("append") or {}).get("server_cpu_steps") or []
    return [(cpu - before) / (count - first) for (first, before), (count, cpu) in zip(steps, steps[1:])]


def cpu_growth(server):
    """How much more CPU a message takes at the end: last five windows over first five."""
    costs = cpu_windows(server)
    return sum(costs[-5:]) / max(sum(costs[:5]), FLOOR_S) if len(costs) >= 10 else None


def growth(server, measure, row):
    figures = ((server.get("memory") or {}).get(measure) or {}).get(row) or {}
    return figures.get("rss_growth_at_peak_kib")


def idle_kib(server):
    """KiB of each idle connection, from 10 to 40 of them, shared pages counted once."""
    steps = (server.get("idle") or {}).get("steps") or []
    if len(steps) < 2 or any("error" in step or "pss_kib" not in step for step in steps):
        return None
    first, last = steps[0], steps[-1]
    return (last["pss_kib"] - first["pss_kib"]) / (last["idle"] - first["idle"])


# ---- the page


def markdown(data, name):
    about, servers = data["about"], data["servers"]
    parts = [f"# Embedded store against Dovecot\n\nMade by `bench/run`, {about['date']}, commit "
             f"`{about['commit']}`. {about['cores']} cores ({about['processor']}), Linux {about['kernel']}, data on "
             f"{about['filesystem']}. Load average {about['load_before']} before, {about['load_after']} after: "
             "a load above the number of cores makes absolute times too long and ratios rough. "
             + ("The binaries were given, so the commit is that of the scripts. " if about.get("binaries_given") else "") +
             f"Dovecot {about['dovecot']} on a Maildir; mail_crypt with folder and user keys on "
             f"{about['mail_crypt_curve']}, the user's key opened by the login's password. "
             f"{about['rounds']} rounds, each command three times a round."]
    parts += [goals(servers), failures_list(servers), commands_table(servers), large_table(servers),
              f"![APPEND rate as the mailbox grows]({name}-append.svg)", memory_table(servers), notes()]
    return "\n\n".join(parts) + "\n"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def goals(servers):
    ours = [n for n in servers if n.startswith("restante")]
    rows = []
    for measure, row, title in (COMMANDS[0], COMMANDS[2]):
        cells = []
        for n in ours:
            walls = round_walls(servers[n], measure, row)
            ratio = CRYPT in servers and times_faster(round_walls(servers[CRYPT], measure, row), walls)
            failed = walls.count(None)
            form = "{:.1f} times" + (f", {failed} of {len(walls)} rounds failed" if failed else "")
            cells.append(verdict(ratio, lambda r, failed=failed: r >= GOAL_FASTER and not failed, form))
        rows.append([f"{title}: at least {GOAL_FASTER} times faster than with mail_crypt", *cells])
    cells = []
    for n in ours:
        count = ((servers[n].get("large") or {}).get("fetch_flags") or {}).get("fetch_responses")
        wall = large_wall(servers[n], "select_after_restart") if count == 10000 else None
        cells.append(verdict(wall, lambda s: s < GOAL_SELECT_S, "{:.4f} s"))
    rows.append([f"SELECT of 10,000 messages after a restart: under {GOAL_SELECT_S} s", *cells])
    rows.append([f"APPEND flat: last three windows at least {GOAL_FLAT} of the first three",
                 *[verdict(flatness(servers[n]), lambda r: r >= GOAL_FLAT, "{:.2f}") for n in ours]])
    rows.append([f"the same in the server's CPU time: a message costs at most {1 / GOAL_FLAT} times what it did",
                 *[verdict(cpu_growth(servers[n]), lambda r: r <= 1 / GOAL_FLAT, "{:.2f}") for n in ours]])
    return "## Goals\n\n" + table(["goal", *ours], rows)


def verdict(value, met, form):
    if not value:
        return "no result"
    return ("met: " if met(value) else "**not met**: ") + form.format(value)


def commands_table(servers):
    ours = [n for n in servers if n.startswith("restante")]
    head = ["seconds, median", *[TITLES[n] for n in servers]]
    for n in ours:
        short = n.split("-")[1]
        head += [f"{short} vs mail_crypt", f"{short} vs plain"]
    rows = []
    for measure, row, title in COMMANDS:
        walls = {n: round_walls(s, measure, row) for n, s in servers.items()}
        cells = [title, *[seconds(median(walls[n])) + rounds_left(walls[n]) for n in servers]]
        for n in ours:
            cells += [times(times_faster(walls.get(other, []), walls[n])) for other in (CRYPT, PLAIN)]
        rows.append(cells)
    for measure, row, title in (COMMANDS[0], COMMANDS[2]):
        cpu = {n: round_walls(s, measure, row, "server_cpu_s") for n, s in servers.items()}
        cells = ["server's CPU: " + title, *[seconds(median(cpu[n])) for n in servers]]
        for n in ours:
            cells += [times(times_faster(cpu.get(other, []), cpu[n])) for other in (CRYPT, PLAIN)]
        rows.append(cells)
    return "## Commands\n\nThe last columns say how many times faster (below 1: slower).\n\n" + table(head, rows)


def large_table(servers):
    ours = [n for n in servers if n.startswith("restante")]
    head = ["large mailbox", *[TITLES[n] for n in servers]]
    for n in ours:
        short = n.split("-")[1]
        head += [f"{short} vs mail_crypt", f"{short} vs plain"]

    def figures(n):
        return (servers[n].get("large") or {}).get("append") or {}

    rows = [["messages of 2 kB stored in the time for APPEND", *[str(figures(n).get("messages", "failed"))
                                                              for n in servers]],
            ["APPEND, messages/s", *[number(figures(n).get("messages_per_s")) for n in servers]],
            ["APPEND, last three windows / first three", *[times(flatness(servers[n])) for n in servers]],
            ["APPEND, server's CPU for a message, ms",
             *[milliseconds(cpu_windows(s)) for s in servers.values()]],
            ["APPEND, the same, end / start of the mailbox", *[times(cpu_growth(s)) for s in servers.values()]],
            ["APPEND, median latency, s", *[seconds(figures(n).get("latency_median_s")) for n in servers]]]
    for row in rows:
        row += [""] * (2 * len(ours))
    for row, title in LARGE:
        walls = {n: large_wall(s, row) for n, s in servers.items()}
        cells = [title + ", s", *[seconds(walls[n]) for n in servers]]
        for n in ours:
            cells += [times(times_faster([walls.get(other)], [walls[n]])) for other in (CRYPT, PLAIN)]
        rows.append(cells)
    return ("## Ten thousand messages\n\nAPPEND stops when its time is over; the mailbox is then filled up to the "
            "same count before SELECT and the rest are measured.\n\n" + table(head, rows))


def memory_table(servers):
    head = ["KiB", *[TITLES[n] for n in servers]]
    rows = [[f"growth at peak: {title}", *[number(growth(s, measure, row)) for s in servers.values()]]
            for measure, row, title in (COMMANDS[0], COMMANDS[2], COMMANDS[3])]
    rows.append(["resident when started and warmed up (Pss)",
                 *[number((s.get("idle") or {}).get("base_pss_kib")) for s in servers.values()]])
    rows.append(["each idle connection (Pss)", *[number(idle_kib(s)) for s in servers.values()]])
    return "## Memory\n\n" + table(head, rows)


def notes():
    return (
        "## What differs\n\n"
        "Plain Dovecot encrypts nothing. With mail_crypt it encrypts the mails and leaves its index and cache "
        "files readable (envelopes, sizes, flags); ENVELOPE, BODYSTRUCTURE, SUBJECT and flags are answered "
        "from these. Restante keeps nothing readable, compresses, and acknowledges an APPEND after fsync, as Dovecot "
        "does. Dovecot has a process for each connection, here without hibernation (its default); Restante is one "
        "process. Growth at peak is measured in a freshly started server, after login and SELECT. No server has "
        "a full-text index. Every command's answer is checked (messages fetched, hits): a wrong one gives no figure.")


def seconds(value):
    if value is None:
        return "failed"
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def rounds_left(walls):
    """Says beside a median over which part of the rounds it is taken, if not all."""
    failed = walls.count(None)
    return f" ({len(walls) - failed} of {len(walls)} rounds)" if 0 < failed < len(walls) else ""


def milliseconds(costs):
    return f"{1000 * statistics.mean(costs):.2f}" if costs else ""


def times(value):
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def number(value):
    return "failed" if value is None else f"{value:,.0f}"


# ---- the plot


def append_plot(data):
    """APPEND rate of each window against the size of the mailbox, as SVG."""
    left, right, top, bottom, width, height = 70, 170, 40, 50, 760, 360
    series = {n: windows(s) for n, s in data["servers"].items() if windows(s)[0]}
    highest = max((max(rates) for rates, _ in series.values()), default=1)
    furthest = max((len(rates) * window for rates, window in series.values()), default=1)
    step = nice_step(highest / 5)
    ceiling = step * (int(highest / step) + 1)
    px = lambda x: left + (width - left - right) * x / furthest  # noqa: E731
    py = lambda y: height - bottom - (height - top - bottom) * y / ceiling  # noqa: E731
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           f'font-size="12">', f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{left}" y="22" font-size="14">APPEND, messages/s, as the mailbox grows</text>']
    for i in range(int(round(ceiling / step)) + 1):
        y = py(i * step)
        out += [f'<line x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" stroke="#dddddd"/>',
                f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{i * step:,.0f}</text>']
    for i in range(6):
        x = furthest * i / 5
        out.append(f'<text x="{px(x):.1f}" y="{height - bottom + 18}" text-anchor="middle">{x:,.0f}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 12}" text-anchor="middle">'
               'messages in the mailbox (each point: the rate over one window)</text>')
    for at, (n, (rates, window)) in enumerate(series.items()):
        points = [(px((i + 0.5) * window), py(rate)) for i, rate in enumerate(rates)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        y = top + 14 + 20 * at
        out += [f'<polyline points="{path}" fill="none" stroke="{COLOURS[n]}" stroke-width="2"/>',
                *[f'<circle cx="{x:.1f}" cy="{cy:.1f}" r="3" fill="{COLOURS[n]}"/>' for x, cy in points],
                f'<rect x="{width - right + 14}" y="{y - 9}" width="14" height="4" fill="{COLOURS[n]}"/>',
                f'<text x="{width - right + 34}" y="{y - 3}">{TITLES[n]}</text>']
    return "\n".join(out + ["</svg>"]) + "\n"


def nice_step(rough):
    """The next of 1, 2, 5, 10, 20, ... at or above `rough`."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= rough:
                return factor * power
        power *= 10
