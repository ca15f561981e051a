"""What the article of Aerogramme 0.2.2 did to a server, over time: everything fetched, all
text searched, many users who wait; and a hundred logins at once. Each scenario begins with a
fresh server and is a row of phases with rests in between; memory and CPU are sampled all along.
"""

import contextlib
import time

import samples
import servers
from place import BIG, together

SAMPLE_S = 0.01
REST_S = 0.15  # between phases, so that each is seen alone
FETCH = "FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[])"
SEARCH = 'SEARCH TEXT "somewordthatdoesnotexist"'
REPEATED = 3


class Timeline:
    """The phases of one scenario, each with its slot in time, so that the phases of two servers
    lie above each other in a plot as long as none is longer than its slot."""

    def __init__(self, place):
        self.place, self.phases, self.begin, self.slots = place, [], time.monotonic(), 0.0

    @contextlib.contextmanager
    def phase(self, name, slot_s):
        before = self.place.requests()
        time.sleep(max(0, self.begin + self.slots + REST_S - time.monotonic()))
        begin, phase = time.monotonic(), {"name": name}
        self.phases.append(phase)
        yield phase
        end = time.monotonic()
        time.sleep(REST_S / 3)  # what is done behind the answer
        after = self.place.requests()
        phase.update(begin_s=round(begin - self.begin, 4), end_s=round(end - self.begin, 4),
                     requests={k: n - before.get(k, 0) for k, n in after.items() if n != before.get(k, 0)})
        self.slots += slot_s + REST_S


def run(place, client, scenario):
    """One scenario with a fresh server; its phases, its samples, its peak."""
    pid = place.restart()
    with samples.Samples(place.pids(), SAMPLE_S) as sampled:
        time.sleep(REST_S)
        samples.forget_peak(pid)
        timeline = Timeline(place)
        scenario(place, client, timeline)
        time.sleep(2 * REST_S)
        peak = samples.peak_kib(pid)
    curves = {name: [[round(at - timeline.begin, 3), int(kib), round(cpu - rows[0][2], 4)] for at, kib, cpu in rows]
              for name, rows in sampled.rows.items()}
    return {"phases": timeline.phases, "peak_kib": peak, "samples": curves}


def connect(place, client):
    return client.Imap("127.0.0.1", place.port, 120)


def login(connection, user):
    connection.login(user, servers.PASSWORD)


def command_again_and_again(command, title, expected, slot_s):
    def scenario(place, client, timeline):
        connection = connect(place, client)
        with timeline.phase("LOGIN", 0.1):
            login(connection, BIG)
        with timeline.phase("SELECT", 0.1):
            connection.ok("SELECT Bench")
        for _ in range(REPEATED):
            with timeline.phase(title, slot_s) as phase:
                reply = connection.ok(command, keep=title == "SEARCH TEXT")
            phase["wall_s"] = round(reply.wall_s, 4)
            expected(reply)
        with timeline.phase("LOGOUT", 0.1):
            connection.logout()

    return scenario


def a_hundred(reply):
    if reply.fetches != 100:
        raise SystemExit(f"FETCH: {reply.fetches} messages instead of 100")


def nothing_found(reply):
    if not any(line.upper().rstrip() == b"* SEARCH" for line in reply.lines):
        raise SystemExit(f"SEARCH found what is not there: {reply.lines}")


def acquaint(place, client):
    """Everybody has been here once: what a first login makes is not part of any scenario."""
    place.restart()
    for user in place.users:
        connection = connect(place, client)
        login(connection, user)
        connection.ok("SELECT INBOX")
        connection.logout()
    place.server.stop()


def waiting(place, client, timeline):
    """Each of the users logs in, one after the other, and waits; a message comes for each;
    then all leave."""
    connections = []
    with timeline.phase(f"{len(place.users)} users log in, SELECT INBOX, IDLE", 0.06 * len(place.users)):
        for user in place.users:
            connection = connect(place, client)
            login(connection, user)
            connection.ok("SELECT INBOX")
            connection.send(connection.tag() + b" IDLE\r\n")
            while not connection.read_line().startswith(b"+"):
                pass
            connections.append(connection)
    with timeline.phase("nothing happens", 2):
        time.sleep(2)
    with timeline.phase("a message for each", 1) as phase:
        begin = time.monotonic()
        delivered = place.deliver(place.users, "--connections", 4, "--messages", len(place.users))
        if delivered["replies"] != {"250": len(place.users)}:
            raise SystemExit(f"delivery: {delivered['replies']}")
        together(heard, connections)
        phase["wall_s"] = round(time.monotonic() - begin, 4)
    with timeline.phase("nothing happens", 1):
        time.sleep(1)
    with timeline.phase("DONE, LOGOUT", 0.5):
        for connection in connections:
            connection.send(b"DONE\r\n")
            connection.logout()


def heard(connection):
    while not connection.read_line().endswith(b" EXISTS"):
        pass


def logins_at_once(place, client, timeline):
    """Everybody at the same moment, with Argon2's default parameters."""
    connections = [connect(place, client) for user in place.users]
    with timeline.phase(f"{len(place.users)} LOGINs at once", 3):
        for connection, user in zip(connections, place.users):
            connection.send(f"{connection.tag().decode()} LOGIN {user} {servers.PASSWORD}\r\n".encode())

        def answered(connection):
            line = connection.read_line()
            if not line.startswith(b"a1 OK"):
                raise SystemExit(f"LOGIN: {line.decode()}")

        together(answered, connections)
    with timeline.phase("LOGOUT", 0.2):
        for connection in connections:
            connection.logout()


ALL = {
    "fetch": command_again_and_again(FETCH, "FETCH", a_hundred, 0.25),
    "search": command_again_and_again(SEARCH, "SEARCH TEXT", nothing_found, 0.15),
    "idle": waiting,
    "logins": logins_at_once,
}
