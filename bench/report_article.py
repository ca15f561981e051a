"""From the figures of `bench/article` to its page and its plots."""

import statistics

import plot_time
import report
from report import median, number, round_walls, seconds, table, verdict

GOAL_DELIVERY = 400  # messages of 5 kB a second
GOAL_COMMAND_S = 0.2  # FETCH of everything, SEARCH TEXT
GOAL_GROWTH_KIB = 4096
GOAL_NOOP_S = 0.010  # slower at the 99th percentile
GOAL_LOGINS_KIB = 60 * 1024
TITLES = {"fetch": "FETCH of everything: 100 messages, 23.6 MB, three times",
          "search": "SEARCH TEXT of a word that is nowhere, three times",
          "idle": "Users who wait", "logins": "All users log in at once"}
FETCH, SEARCH = ("fetch", "full_peek"), ("search", "text_missing")


def write(data, folder):
    storage = data["about"]["storage"]
    for scenario, title in TITLES.items():
        runs = {name: server["scenarios"][scenario] for name, server in data["servers"].items()}
        (folder / f"article-{storage}-{scenario}.svg").write_text(plot_time.plot(title, runs))
    (folder / f"article-{storage}.md").write_text(page(data))


def page(data):
    about, servers = data["about"], data["servers"]
    where = f"one stock Garage {about['garage']} with its defaults on the same machine" if about["garage"] else "mail in a folder"
    priority = f"Run at nice {about['nice']}. " if about["nice"] else ""
    head = (f"# The article's benchmark, {'on Garage' if about['garage'] else 'in a folder'}\n\nMade by `bench/article --storage "
            f"{about['storage']}`, {about['date']}, commit `{about['commit']}`. {about['cores']} cores "
            f"({about['processor']}), Linux {about['kernel']}, data on {about['filesystem']}, {where}. Load average "
            f"{about['load_before']} before, {about['load_after']} after (this benchmark's own work included): a load of others "
            f"makes times too long. {priority}{about['rounds']} rounds. [performance.md](../performance.md#the-articles-benchmark-again) says "
            "how it is made and what is seen.")
    parts = [head, goals(about, servers), commands(servers), delivery(about, servers), neighbour(servers), plots(about, servers)]
    return "\n\n".join(parts) + "\n"


# ---- figures


def peak_growth(run):
    """Of a scenario: the kernel's high-water mark over the level at its begin."""
    return run["peak_kib"] - run["samples"]["server"][0][1]


def garage_growth(run):
    rows = run["samples"].get("garage")
    return max(kib for _, kib, _ in rows) - rows[0][1] if rows else None


def each_waiting(run):
    """KiB for each user, when all wait and nothing happens."""
    phases = run["phases"]
    users = int(phases[0]["name"].split()[0])
    return (level(run, phases[1]["end_s"]) - run["samples"]["server"][0][1]) / users


def level(run, at):
    return [kib for when, kib, _ in run["samples"]["server"] if when <= at][-1]


def cpu_between(run, phase):
    inside = [cpu for when, _, cpu in run["samples"]["server"] if phase["begin_s"] <= when <= phase["end_s"]]
    return inside[-1] - inside[0] if inside else 0


def deliveries(server, which, figure="per_s"):
    return [one["delivery"][which][figure] for one in server["rounds"] if which in one["delivery"]]


def refused(server, which):
    return any(set(replies) != {"250"} for replies in deliveries(server, which, "replies"))


def slower(server):
    """How much longer a NOOP takes beside a search, at the 99th percentile, in each round."""
    return median([one["neighbour"]["beside"]["p99_s"] - one["neighbour"]["alone"]["p99_s"] for one in server["rounds"]])


# ---- the page


def goals(about, servers):
    def delivered(which):
        return lambda s: None if refused(s, which) else median(deliveries(s, which))

    def wall(row):
        return lambda s: median(round_walls(s, *row)) if None not in round_walls(s, *row) else None

    at_least, at_most = (lambda goal: lambda v: v >= goal), (lambda goal: lambda v: v <= goal)
    rows = [
        (f"LMTP, {about['octets']:,} octets, {about['connections']} connections, {about['users']} accounts: at least {GOAL_DELIVERY} messages/s",
         delivered("many"), at_least(GOAL_DELIVERY), "{:.0f}"),
        ("the same to one account", delivered("one"), at_least(GOAL_DELIVERY), "{:.0f}"),
        (f"FETCH of everything: at most {GOAL_COMMAND_S} s", wall(FETCH), at_most(GOAL_COMMAND_S), "{:.3f} s"),
        ("FETCH of everything: memory grows by at most 4 MiB",
         lambda s: report.growth(s, *FETCH), at_most(GOAL_GROWTH_KIB), "{:,.0f} KiB"),
        (f"SEARCH TEXT: at most {GOAL_COMMAND_S} s", wall(SEARCH), at_most(GOAL_COMMAND_S), "{:.3f} s"),
        ("SEARCH TEXT: memory grows by at most 4 MiB",
         lambda s: report.growth(s, *SEARCH), at_most(GOAL_GROWTH_KIB), "{:,.0f} KiB"),
        ("NOOP beside another user's SEARCH: at most 10 ms slower at the 99th percentile",
         lambda s: 1000 * slower(s), at_most(1000 * GOAL_NOOP_S), "{:.1f} ms"),
        (f"{about['users']} logins at once: memory grows by at most 60 MiB",
         lambda s: peak_growth(s["scenarios"]["logins"]), at_most(GOAL_LOGINS_KIB), "{:,.0f} KiB"),
    ]
    note = "" if about["garage"] else "\n\nThe goals are for mail in Garage; here they are for comparison."
    return "## Goals\n\n" + table(["goal", *servers], [
        [title, *[verdict(figure(s), met, form) for s in servers.values()]] for title, figure, met, form in rows]) + note


def commands(servers):
    rows = []
    for title, row, growth in (("FETCH of everything", FETCH, "64 MiB"), ("SEARCH TEXT", SEARCH, "21 MiB")):
        for kind, figure in (("s", "wall_s"), ("server's CPU, s", "server_cpu_s")):
            aerogramme = {"FETCH of everything": "3.1", "SEARCH TEXT": "2.9"}[title] if figure == "wall_s" else ""
            rows.append([f"{title}, {kind}", *[seconds(median(round_walls(s, *row, figure))) for s in servers.values()], aerogramme])
        rows.append([f"{title}, growth at peak, KiB", *[number(report.growth(s, *row)) for s in servers.values()], growth])
    idle = {name: s["scenarios"]["idle"] for name, s in servers.items()}
    users = next(iter(idle.values()))["phases"][0]["name"].split()[0]
    rows += [
        [f"memory of each of {users} users who wait, KiB", *[f"{each_waiting(run):.0f}" for run in idle.values()], "266"],
        ["CPU in two seconds of nothing, ms", *[f"{1000 * cpu_between(run, run['phases'][1]):.1f}" for run in idle.values()], ""],
        [f"a message delivered to each, and all have heard of it, s",
         *[seconds(run["phases"][2]["wall_s"]) for run in idle.values()], ""],
    ]
    return ("## Commands\n\nMedians. Memory at peak is measured in a fresh server, over the level after login and SELECT. "
            "Aerogramme's figures are those of version 0.2.2 on its own storage, as the design of this project has them; they "
            "are from another machine. `bench/idle` measures waiting users closely; here the first logins' memory (Argon2) "
            "is in the figure.\n\n" + table(["", *servers, "Aerogramme"], rows))


def delivery(about, servers):
    def row(title, which, figure, form):
        cells = []
        for server in servers.values():
            measured = [one["delivery"][which] for one in server["rounds"] if which in one["delivery"]]
            cells.append(form.format(statistics.median(map(figure, measured))) if measured else "")
        return [title, *cells]

    rows = []
    for which, title in (("many", f"to {about['users']} accounts"), ("one", "to one account")):
        rows.append(row(f"{title}: messages/s", which, lambda d: d["per_s"], "{:.0f}"))
        if about["garage"]:
            rows.append(row("floor right after: an object and two items, a second", f"floor_{which}", lambda d: d["per_s"], "{:.0f}"))
            ratios = [median([r["delivery"][which]["per_s"] / r["delivery"][f"floor_{which}"]["per_s"] for r in s["rounds"]])
                      for s in servers.values()]
            rows.append(["delivery, as a part of the floor", *[f"{ratio:.2f}" for ratio in ratios]])
        rows += [row("latency of a message, median, ms", which, lambda d: 1000 * d["latency_median_s"], "{:.1f}"),
                 row("the same, 99th percentile, ms", which, lambda d: 1000 * d["latency_p99_s"], "{:.1f}"),
                 row("server's CPU for a message, ms", which, lambda d: 1000 * d["cpu_s"]["server"] / d["messages"], "{:.2f}")]
        if about["garage"]:
            rows.append(row("Garage's CPU for a message, ms", which, lambda d: 1000 * d["cpu_s"]["garage"] / d["messages"], "{:.2f}"))
        rows += [row("client's CPU for a message, ms", which, lambda d: 1000 * d["client_cpu_s"] / d["messages"], "{:.2f}"),
                 row("processors used of two, by all together", which,
                     lambda d: (sum(d["cpu_s"].values()) + d["client_cpu_s"]) / d["wall_s"], "{:.2f}")]
        # Figures of before this was measured can be drawn again.
        known = all("waited_s" in r["delivery"][which] for s in servers.values() for r in s["rounds"])
        for who in servers_and_garage(about) if known else ():
            rows.append(row(f"{who} ready to run without a processor, all threads, ms for a message", which,
                            lambda d, who=who: 1000 * d["waited_s"][who] / d["messages"], "{:.2f}"))
        if about["garage"]:
            rows.append([f"requests for a message, {title}",
                         *[asked(s["rounds"][-1]["delivery"][which]) for s in servers.values()]])
    return ("## Delivery\n\n" f"`bench/deliver`: {about['messages']:,} messages on {about['connections']} connections, each reply "
            "awaited before the next message of the connection. Aerogramme: 5.5 messages/s, or 439 with its sockets patched."
            "\n\n" + table(["", *servers], rows))


def servers_and_garage(about):
    return ("server", "garage") if about["garage"] else ("server",)


def asked(one):
    return ", ".join(f"{count / one['messages']:.2f} {name}" for name, count in one["requests"].items()
                     if count / one["messages"] >= 0.01)


def neighbour(servers):
    rows = []
    for percent in (50, 90, 99, 100):
        cells = []
        for server in servers.values():
            for when in ("alone", "beside"):
                cells.append(f"{1000 * median([one['neighbour'][when][f'p{percent}_s'] for one in server['rounds']]):.2f}")
        rows.append(["the slowest" if percent == 100 else f"{percent}th percentile", *cells])
    head = ["NOOP, ms"] + [f"{name}, {when}" for name in servers for when in ("alone", "beside a SEARCH")]
    first = next(iter(servers.values()))["rounds"][0]["neighbour"]
    count = first.get("count") or first["noops"]  # as it was called until it could ask for other things
    return (f"## A NOOP beside a search\n\n`bench/neighbour`: {count} NOOPs of one user alone, and as many while another "
            "user's connection repeats SEARCH TEXT without a pause; blocks of both in turn.\n\n" + table(head, rows))


def plots(about, servers):
    """The plots, and under each what was measured in its phases."""
    parts = ["## Over time\n\nEach scenario in a fresh server; the bars on top are the phases. Growth is of resident memory, "
             "from the begin of a phase to its highest sample. The long polls of the doorbells are not among the requests."]
    for scenario, title in TITLES.items():
        runs = {name: server["scenarios"][scenario] for name, server in servers.items()}
        rows = []
        for place, phase in enumerate(next(iter(runs.values()))["phases"]):
            its = [(run, run["phases"][place]) for run in runs.values()]
            rows.append([phase["name"],
                         *[seconds(one["end_s"] - one["begin_s"]) for _, one in its],
                         *[number(growth_in(run, one)) for run, one in its],
                         *[f"{1000 * cpu_between(run, one):.0f}" for run, one in its],
                         *([requests(its[0][1])] if about["garage"] else [])])
        head = ["phase"] + [f"{what}, {name}" for what in ("s", "growth, KiB", "CPU, ms") for name in runs]
        if about["garage"]:
            head.append(f"requests, {next(iter(runs))}")
            rows.append(["Garage's memory, growth at peak, KiB", *[""] * len(runs),
                         *[number(garage_growth(run)) for run in runs.values()], *[""] * len(runs), ""])
        parts.append(f"### {title}\n\n![{title}](article-{about['storage']}-{scenario}.svg)\n\n" + table(head, rows))
    return "\n\n".join(parts)


def growth_in(run, phase):
    inside = [kib for at, kib, _ in run["samples"]["server"] if phase["begin_s"] <= at <= phase["end_s"]]
    return max(0, max(inside, default=0) - level(run, phase["begin_s"]))


def requests(phase):
    return ", ".join(f"{count} {name}" for name, count in phase["requests"].items()) or "none"
