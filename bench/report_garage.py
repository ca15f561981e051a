"""From the figures of a run on Garage to its page: everything as a ratio to the floor
that was measured beside it."""

import statistics

import report
from report import median, milliseconds, number, round_walls, seconds, table, times

GOAL_FETCH = 1.5  # times the floor with 16 requests in flight
GOAL_FASTER = 10  # than one by one
GOAL_GROWTH_KIB = 4096
GOAL_APPEND = 0.7  # of what the storage takes one by one
GOAL_SELECT_S = 0.15  # cold, of 10,000 messages
GOAL_FLAT = 0.8
FLOORS_AROUND = ("floor_put_before", "floor_put_after")  # the 10,000 messages
COMMANDS = tuple(row for row in report.COMMANDS if row[1] != "body_present")


def sound(data):
    """Whether every command was answered, and rightly."""
    return not failures(data["servers"])


def failures(servers):
    out = []
    for name, server in servers.items():
        for number_, one in enumerate(server["rounds"], 1):
            if one.get("server_ended"):
                out.append(f"{name}, round {number_}: the server {one['server_ended']}")
            for measure, row, title in COMMANDS:
                figures = one.get(measure) or {}
                figures = (figures.get(row) or {"error": "no result"}) if row else figures
                if not report.sound(figures, measure, row):
                    out.append(f"{name}, round {number_}, {title}: {figures.get('error') or 'a wrong answer'}")
        for row in ("append", *(row for row, _ in report.LARGE)):
            figures = (server.get("large") or {}).get(row) or {"error": "no result"}
            if "error" in figures or figures.get("status", "OK") != "OK":
                out.append(f"{name}, large, {row}: {figures.get('error') or figures.get('reply')}")
    return out


def write(data, folder, name):
    (folder / f"{name}.md").write_text(page(data, name))
    (folder / f"{name}-append.svg").write_text(report.append_plot(data))


def page(data, name):
    about, servers = data["about"], data["servers"]
    head = (f"# Garage, and what the storage itself gives\n\nMade by `bench/run --storage garage`, {about['date']}, commit "
            f"`{about['commit']}`. {about['cores']} cores ({about['processor']}), Linux {about['kernel']}, data on "
            f"{about['filesystem']}, one stock Garage {about['garage']} with its defaults on the same machine. Load average "
            f"{about['load_before']} before, {about['load_after']} after. {about['rounds']} rounds. The mailbox is "
            "`make_mailbox.py seed100`: 100 messages, 23.6 MB.\n\nThe floor is a client that does nothing but "
            "ask Garage (`server/examples/garage_floor.rs`), with quick acknowledgements, for the very objects that the "
            "server has just stored; it runs right after the measure that it is compared with, and rests as long before each "
            "reading as the client of IMAP does before each FETCH: processors that had nothing to do for 0.2 s begin slowly.")
    found = failures(servers)
    failed = "## Failures\n\n" + ("\n".join(f"- {line}" for line in found) if found else
                                   "None: every command of every round succeeded with the right answer.")
    parts = [head, goals(servers), within_reach(servers), failed, floor_table(servers), commands(servers), large(servers),
             f"![APPEND rate as the mailbox grows]({name}-append.svg)", memory(servers), requests(servers)]
    return "\n\n".join(parts) + "\n"


def fetch_ratio(server, figure, upside_down=False, fetch="fetch", floor="floor_get"):
    """FETCH of everything against a way of reading the same objects, paired in each round."""
    walls = round_walls(server, fetch, "full_peek")
    floors = [(one.get(floor) or {}).get("wall_s", {}).get(figure) for one in server["rounds"]]
    pairs = [(w, f) for w, f in zip(walls, floors) if w and f]
    return median([f / w if upside_down else w / f for w, f in pairs])


def append_ratio(server):
    """APPEND of the hundred messages: the floor's time over ours."""
    walls = round_walls(server, "append", None)
    floors = [(one.get("floor_put") or {}).get("wall_s") for one in server["rounds"]]
    return median([f / w for w, f in zip(walls, floors) if w and f])


def relay_ratio(server):
    """FETCH of everything against a relay that passes the same objects to the same client."""
    walls = round_walls(server, "fetch", "full_peek")
    relays = [(one.get("relay") or {}).get("wall_s") for one in server["rounds"]]
    return median([w / r for w, r in zip(walls, relays) if w and r])


def proven_rate(floor):
    """An object, two items, and the read that proves that the UIDs are nobody else's, a second."""
    return floor["objects"] / (floor["wall_s"] + floor["as_many_reads_s"]) if floor else None


def stored_rate(floor):
    """An object and two items, a second."""
    return floor["per_s"] if floor else None


def append_large_ratio(server, rate_of=stored_rate):
    """The rate of APPEND of 10,000 small messages over the mean of the floors around it."""
    rate = ((server.get("large") or {}).get("append") or {}).get("messages_per_s")
    floors = [rate_of(server.get(key)) for key in FLOORS_AROUND]
    return rate / statistics.mean(floors) if rate and all(floors) else None


def select_cold(server):
    """Only of a mailbox that was filled to the end."""
    large_ = server.get("large") or {}
    full = (large_.get("fetch_flags") or {}).get("fetch_responses") == 10000
    figures = large_.get("select_after_restart") or {}
    return figures.get("wall_s") if full and figures.get("status") == "OK" else None


def goals(servers):
    rows = [
        (f"FETCH of everything: at most {GOAL_FETCH} times the floor with 16 in flight",
         lambda s: fetch_ratio(s, "16"), lambda v: v <= GOAL_FETCH, "{:.2f} times"),
        ("the same against the floor with delayed acknowledgements",
         lambda s: fetch_ratio(s, "16_delayed_ack"), lambda v: v <= GOAL_FETCH, "{:.2f} times"),
        (f"FETCH of everything: at least {GOAL_FASTER} times faster than a stock client one by one",
         lambda s: fetch_ratio(s, "1_delayed_ack", True), lambda v: v >= GOAL_FASTER, "{:.1f} times"),
        ("FETCH of everything: memory grows by at most 4 MiB",
         lambda s: report.growth(s, "fetch", "full_peek"), lambda v: v <= GOAL_GROWTH_KIB, "{:,.0f} KiB"),
        (f"APPEND of seed100: at least {GOAL_APPEND} of the storage's own rate of an object and two items",
         append_ratio, lambda v: v >= GOAL_APPEND, "{:.2f}"),
        ("APPEND of many messages of 2 kB (how many: below): the same", append_large_ratio, lambda v: v >= GOAL_APPEND, "{:.2f}"),
        (f"APPEND flat: last three windows at least {GOAL_FLAT} of the first three",
         report.flatness, lambda v: v >= GOAL_FLAT, "{:.2f}"),
        (f"SELECT of 10,000 messages, cold server: under {GOAL_SELECT_S} s",
         select_cold, lambda v: v < GOAL_SELECT_S, "{:.3f} s"),
    ]
    return "## Goals\n\n" + table(["goal", *servers], [
        [title, *[report.verdict(figure(s), met, form) for s in servers.values()]]
        for title, figure, met, form in rows])


def within_reach(servers):
    """What the goals leave out: that somebody takes what is read, and that UIDs are proven."""
    rows = [
        ["FETCH of everything right after SELECT, times a floor with 16 in flight that reads again and again: both without that rest",
         *[times(fetch_ratio(s, "16", fetch="fetch_at_once", floor="floor_get_at_once")) for s in servers.values()]],
        ["FETCH of everything after that rest, times the floor without one",
         *[times(fetch_ratio(s, "16", floor="floor_get_at_once")) for s in servers.values()]],
        ["FETCH of everything, times a relay that looks into nothing, to the same client",
         *[times(relay_ratio(s)) for s in servers.values()]],
        ["the relay, times the floor with 16 in flight", *[times(median([
            one["relay"]["wall_s"] / one["floor_get"]["wall_s"]["16"] for one in s["rounds"]
            if one.get("relay") and one.get("floor_get")])) for s in servers.values()]],
        ["APPEND of many messages, as a part of its three requests one after the other",
         *[times(append_large_ratio(s, proven_rate)) for s in servers.values()]],
        ["these three requests, as a part of the first two (the goal's measure)", *[times(
            statistics.mean(proven_rate(s[key]) for key in FLOORS_AROUND) / statistics.mean(s[key]["per_s"] for key in FLOORS_AROUND)
            if all(s.get(key) for key in FLOORS_AROUND) else None) for s in servers.values()]],
    ]
    return ("## What is left to a server\n\nThe floor of FETCH has no client that takes what is read; a relay "
            "(`garage_floor relay`) reads the same objects, 16 at a time, and passes them to the same client, filled up to "
            "the length of the mail, unopened. The floor of APPEND stores an object and two items; a server that shares its storage "
            "with others reads the log once more before it tells a UID "
            "([decision 007](../decisions/007-the-log-of-a-mailbox.md)).\n\n" + table(["ratio, median", *servers], rows))


def floor_table(servers):
    kinds = ("1", "8", "16", "1_delayed_ack", "8_delayed_ack", "16_delayed_ack")
    rows = []
    for key in kinds:
        ways, _, delayed = key.partition("_")
        walls = [median([(one.get("floor_get") or {}).get("wall_s", {}).get(key) for one in s["rounds"]])
                 for s in servers.values()]
        title = f"GET of all objects, {ways} in flight" + (", delayed acknowledgements" if delayed else "")
        rows.append([title, *[seconds(w) for w in walls]])
    rows.append(["GET of all objects, 16 in flight, without a rest before", *[
        seconds(median([(one.get("floor_get_at_once") or {}).get("wall_s", {}).get("16") for one in s["rounds"]]))
        for s in servers.values()]])
    rows.append(["PUT and two items, one by one, sizes of seed100",
                 *[seconds(median([(one.get("floor_put") or {}).get("wall_s") for one in s["rounds"]]))
                   for s in servers.values()]])
    for key, title in (("floor_put_before", "before"), ("floor_put_after", "after")):
        rows.append([f"the same for 1.6 kB, a second, {title} the 10,000",
                     *[number((s.get(key) or {}).get("per_s")) for s in servers.values()]])
    return "## The floor\n\n" + table(["seconds, median", *servers], rows)


def commands(servers):
    rows = []
    for measure, row, title in COMMANDS:
        cells = [title.replace(", 19 MB", ""), *[seconds(median(round_walls(s, measure, row))) for s in servers.values()]]
        cells += [seconds(median(round_walls(s, measure, row, "server_cpu_s"))) for s in servers.values()]
        rows.append(cells)
    head = ["seconds, median", *servers, *[f"CPU of {name}" for name in servers]]
    return "## Commands\n\n" + table(head, rows)


def large(servers):
    def figures(s):
        return (s.get("large") or {}).get("append") or {}

    rows = [["messages stored", *[str(figures(s).get("messages", "failed")) for s in servers.values()]],
            ["APPEND, messages/s", *[number(figures(s).get("messages_per_s")) for s in servers.values()]],
            ["APPEND, server's CPU for a message, ms", *[milliseconds(report.cpu_windows(s)) for s in servers.values()]]]
    for row, title in report.LARGE:
        rows.append([title + ", s", *[seconds(report.large_wall(s, row)) for s in servers.values()]])
    return ("## Ten thousand messages\n\nOr as many as were stored in the time for it.\n\n" +
            table(["large mailbox", *servers], rows))


def memory(servers):
    rows = [[f"growth at peak: {title.replace(', 19 MB', '')}",
             *[number(report.growth(s, measure, row)) for s in servers.values()]]
            for measure, row, title in (report.COMMANDS[0], report.COMMANDS[2])]
    return "## Memory\n\n" + table(["KiB", *servers], rows)


def requests(servers):
    """The same table for both, where they do the same: else one each."""
    parts = ["## Requests of each operation\n\nAs Garage counts them; the long polls of the doorbells are left out. "
             "An operation is followed by a pause, so what is done behind its answer is counted with it."]
    tables = {}
    for name, server in servers.items():
        rows = [[title, ", ".join(f"{count} {request}" for request, count in asked.items()) or "none"]
                for title, asked in (server.get("requests") or {}).items()]
        tables.setdefault("\n".join(["| operation | requests |", "|---|---|",
                                     *["| " + " | ".join(row) + " |" for row in rows]]), []).append(name)
    for text, names in tables.items():
        parts.append(" and ".join(names) + ":\n\n" + text)
    return "\n\n".join(parts)
