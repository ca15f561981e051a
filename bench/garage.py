"""Rounds on a Garage of our own, with the storage's floor measured in between.

One stock Garage node runs for the whole benchmark, on the same disk as the rest; each
server has a bucket of its own. The floor is `server/examples/garage_floor.rs`, a client
that does nothing but ask the storage. It runs right after the IMAP measure that it is
compared with, on the objects that the server has just stored.
"""

import base64
import imaplib
import json
import os
import pathlib
import re
import secrets
import statistics
import subprocess
import time
import urllib.request

import rounds
import servers

START_TIMEOUT_S = 30
RELAY_REPEATS = 5
REST_S = 0.2  # before each FETCH of the client, and so before each reading of the floor and the relay
SEED_MESSAGES = 100  # of seed100; what earlier rounds stored is in the bucket as well
FLOOR_PUTS, FLOOR_PUT_BYTES = 1500, 1600  # a message of 2 kB, sealed, is about so long
STORAGE = """[storage]
kind = "garage"
s3 = "http://127.0.0.1:{s3}"
k2v = "http://127.0.0.1:{k2v}"
region = "garage"
bucket = "{bucket}"
key_id = "{key}"
secret = "{secret}"
"""
CONFIG = """[[imap]]
address = "127.0.0.1:{port}"
tls = "none"

""" + STORAGE + """
[accounts]
file = "{folder}/accounts.toml"
"""


class Node:
    """A Garage with one node and its defaults."""

    def __init__(self, folder, binary):
        self.folder, self.binary = folder, binary
        self.ports = {name: servers.free_port() for name in ("rpc", "s3", "k2v", "admin")}
        folder.mkdir()
        self.config = folder / "garage.toml"
        p = self.ports
        self.config.write_text(
            f'metadata_dir = "{folder}/meta"\ndata_dir = "{folder}/data"\n'
            'db_engine = "lmdb"\nreplication_factor = 1\n'
            f'rpc_bind_addr = "127.0.0.1:{p["rpc"]}"\nrpc_public_addr = "127.0.0.1:{p["rpc"]}"\n'
            f'rpc_secret = "{secrets.token_hex(32)}"\n'
            f'[s3_api]\ns3_region = "garage"\napi_bind_addr = "127.0.0.1:{p["s3"]}"\n'
            f'root_domain = ".s3.garage"\n[k2v_api]\napi_bind_addr = "127.0.0.1:{p["k2v"]}"\n'
            f'[admin]\napi_bind_addr = "127.0.0.1:{p["admin"]}"\n')
        self.config.chmod(0o600)
        self.child = None

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.child = subprocess.Popen([self.binary, "-c", self.config, "server"], stdout=log, stderr=log,
                                          stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                node = self.command("node", "id").split("@")[0].strip()
                self.command("layout", "assign", "-z", "here", "-c", "100G", node)
                break
            except subprocess.CalledProcessError:
                if self.child.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.command("layout", "apply", "--version", "1")

    def command(self, *words):
        run = subprocess.run([self.binary, "-c", self.config, *words], check=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return run.stdout.decode()

    def bucket(self, name):
        """A new bucket with a key of its own: what a configuration needs to know."""
        self.command("bucket", "create", name)
        text = self.command("key", "create", name)
        key = re.search(r"Key ID:\s+(\S+)", text)[1]
        secret = re.search(r"Secret key:\s+(\S+)", text)[1]
        self.command("bucket", "allow", "--read", "--write", "--owner", name, "--key", key)
        return {"bucket": name, "key": key, "secret": secret, "s3": self.ports["s3"], "k2v": self.ports["k2v"]}

    def requests(self):
        """How many requests Garage has had so far, by API and name."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin']}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(r'^api_(s3|k2v)_request_counter\{api_endpoint="(\w+)"\} (\d+)', text, re.M)
        return {f"{api} {name}": int(count) for api, name, count in found}

    def stop(self):
        if self.child and self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


def find_binary():
    """GARAGE_BIN, or what the tests have installed."""
    given = os.environ.get("GARAGE_BIN") or rounds.REPO / "target/tools/bin/garage"
    if not pathlib.Path(given).exists():
        raise SystemExit("no Garage: set GARAGE_BIN, or run `cargo run -p restante-garage-node` once")
    return str(given)


def version():
    out = subprocess.run([find_binary(), "--version"], stdout=subprocess.PIPE, check=True)
    return out.stdout.decode().split("[")[0].split(":")[-1].strip()


class GarageRun(rounds.Run):
    """The same measures, on Garage."""

    def prepare(self):
        subprocess.run(["cargo", "build", "--release", "-p", "restante-server", "--example", "garage_floor"],
                       cwd=rounds.REPO, check=True)
        self.floor_binary = rounds.target_folder() / "release/examples/garage_floor"
        self.mbox = self.folder / "seed100.mbox"
        with open(self.mbox, "wb") as out:
            make = self.options.imapbench.resolve().parent / "make_mailbox.py"
            subprocess.run(["python3", str(make), "seed100"], stdout=out, check=True)
        self.node = Node(self.folder / "garage", find_binary())
        self.node.start()
        self.buckets = {}
        for name in self.options.servers:
            folder, binary = self.folder / name, rounds.binary(name, self.options)
            folder.mkdir()
            port = servers.free_port()
            self.buckets[name] = self.node.bucket(name)
            config = folder / "restante.toml"
            config.write_text(CONFIG.format(port=port, folder=folder, **self.buckets[name]))
            config.chmod(0o600)
            subprocess.run([binary, "account", "add", servers.USER, "--password-stdin", "--config", config],
                           input=servers.PASSWORD.encode() + b"\n", stdout=subprocess.DEVNULL, check=True)
            argv = [binary, "serve", "--config", config]
            self.servers[name] = servers.write_spec(folder, name, argv, port, forks=False)
            self.results[name] = {"rounds": []}

    def one_round(self, name):
        pid = self.servers[name].start()
        try:
            data = ("--mbox", str(self.mbox), "--aux-pid", f"garage={self.node.child.pid}")
            result = self.bench(name, ["append"], *data, pid=pid)
            result["floor_put"] = self.floor(name, "put-sizes", SEED_MESSAGES)
            result |= self.bench(name, ["fetch"], *data, "--repeat", "5", "--pause-s", str(REST_S), pid=pid)
            result["floor_get"] = self.floor(name, "get", SEED_MESSAGES, round(REST_S * 1000))
            at_once = self.bench(name, ["fetch"], *data, "--repeat", "5", "--pause-s", "0", pid=pid)
            result["fetch_at_once"] = at_once.get("fetch")
            result["floor_get_at_once"] = self.floor(name, "get-at-once", SEED_MESSAGES)
            result["relay"] = self.relay(name, self.mbox.stat().st_size)
            result |= self.bench(name, ["search"], *data, "--repeat", "3", pid=pid)
            death = self.servers[name].death()
            return {**result, "server_ended": death} if death else result
        finally:
            self.servers[name].stop()

    def measure_all(self):
        for number in range(self.options.rounds):
            names = list(self.servers)
            for name in names if number % 2 == 0 else reversed(names):
                rounds.say(f"round {number + 1}: {name}")
                self.results[name]["rounds"].append(self.one_round(name))
        for name in self.servers:
            rounds.say(f"memory, requests, idle, large: {name}")
            result = self.results[name]
            result["memory"] = self.bench(name, ["fetch", "search"], "--mbox", str(self.mbox), "--repeat", "1",
                                          "--fresh-server")
            result["requests"] = self.requests(name)
            result["floor_put_before"] = self.floor(name, "put", FLOOR_PUTS, FLOOR_PUT_BYTES)
            result["large"] = self.large(name)
            result["floor_put_after"] = self.floor(name, "put", FLOOR_PUTS, FLOOR_PUT_BYTES)
            self.servers[name].stop()

    def fill(self, name, missing):
        """There is no faster way than APPEND: the mailbox stays as long as it is."""

    def place(self, name):
        """Where a server's bucket is, for those who ask it themselves."""
        place = self.buckets[name]
        return {**os.environ, "GARAGE_S3": f"127.0.0.1:{place['s3']}", "GARAGE_K2V": f"127.0.0.1:{place['k2v']}",
                "GARAGE_BUCKET": place["bucket"], "GARAGE_KEY": place["key"], "GARAGE_SECRET": place["secret"]}

    def relay(self, name, octets):
        """The floor's objects through the hands of an IMAP client, of `octets` in all."""
        command = [self.floor_binary, "relay", str(SEED_MESSAGES), str(octets)]
        with subprocess.Popen(command, env=self.place(name), stdout=subprocess.PIPE) as relay:
            client = self.client.Imap("127.0.0.1", int(relay.stdout.readline()), 60)
            client.ok("FETCH 1:* (BODY.PEEK[])")  # connecting left out, as everywhere
            walls = []
            for _ in range(RELAY_REPEATS):
                time.sleep(REST_S)
                begin = time.monotonic()
                client.ok("FETCH 1:* (BODY.PEEK[])")
                walls.append(time.monotonic() - begin)
            client.sock.close()
        if relay.returncode:
            raise SystemExit(f"the relay ended with {relay.returncode}")
        return {"wall_s": statistics.median(walls)}

    def floor(self, name, *command):
        """What the storage gives to a client that does nothing else."""
        out = subprocess.run([self.floor_binary, *map(str, command)], env=self.place(name), stdout=subprocess.PIPE,
                             check=True)
        lines = [json.loads(line) for line in out.stdout.decode().splitlines()]
        if not command[0].startswith("get"):
            return lines[0]
        kept = {}
        for quick in (True, False):
            for ways in sorted({line["in_flight"] for line in lines if line["quick_ack"] == quick}):
                walls = [x["wall_s"] for x in lines if (x["in_flight"], x["quick_ack"]) == (ways, quick)]
                kept[f"{ways}{'' if quick else '_delayed_ack'}"] = statistics.median(walls)
        return {"objects": lines[0]["objects"], "bytes": lines[0]["bytes"], "wall_s": kept}

    def requests(self, name):
        """What each operation asks of Garage, as Garage counts it. The long polls of the
        doorbells are left out: their number follows the clock, not the operation. After 45 seconds
        they begin anew, and look for what they may have missed: all of this ends before."""
        server = self.servers[name]
        server.stop()
        server.start()
        table = {}

        def counted(title, work):
            time.sleep(0.8)  # what the operation before left to be done later
            before = self.node.requests()
            work()
            time.sleep(0.8)
            after = self.node.requests()
            table[title] = {k: after[k] - before.get(k, 0) for k in sorted(after)
                            if after[k] != before.get(k, 0) and k != "k2v PollRange"}

        def message(number, size=3000):
            # Does not compress, so that a long one is stored as a long one.
            lines = (base64.b64encode(os.urandom(54)) + b"\r\n" for _ in range(size // 74))
            return f"From: a@example.org\r\nSubject: message {number}\r\n\r\n".encode() + b"".join(lines)

        imap = imaplib.IMAP4("127.0.0.1", server.port)
        counted("nothing, for three seconds", lambda: None)
        counted("login", lambda: imap.login(servers.USER, servers.PASSWORD))
        counted("CREATE", lambda: imap.create("Counted"))
        counted("APPEND of 3 kB", lambda: imap.append("Counted", None, None, message(1)))
        counted("APPEND of 3 kB, again", lambda: imap.append("Counted", None, None, message(2)))
        counted("APPEND of 25 MB", lambda: imap.append("Counted", None, None, message(3, 25_000_000)))
        counted("SELECT", lambda: imap.select("Counted"))
        counted("NOOP", imap.noop)
        counted("FETCH FLAGS of 3", lambda: imap.fetch("1:*", "(FLAGS)"))
        counted("FETCH ENVELOPE of 3", lambda: imap.fetch("1:*", "(ENVELOPE)"))
        counted("FETCH BODY.PEEK[] of 3 kB", lambda: imap.fetch("1", "(BODY.PEEK[])"))
        counted("FETCH BODY.PEEK[] of 25 MB", lambda: imap.fetch("3", "(BODY.PEEK[])"))
        counted("SEARCH SUBJECT in 3", lambda: imap.search(None, "SUBJECT", "message"))
        counted("STORE +FLAGS of 3", lambda: imap.store("1:*", "+FLAGS", "(\\Deleted)"))
        counted("COPY of 3", lambda: imap.copy("1:*", "Archive"))
        counted("EXPUNGE of 3", imap.expunge)
        counted("STATUS", lambda: imap.status("INBOX", "(MESSAGES UNSEEN)"))
        counted("LIST", lambda: imap.list())
        counted("logout", imap.logout)
        server.stop()
        return table

    def stop_servers(self):
        super().stop_servers()
        if hasattr(self, "node"):
            self.node.stop()
