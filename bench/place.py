"""Where the article's benchmark runs: one Restante binary with an IMAP and an LMTP listener
and many accounts, on a Garage of our own or in a folder."""

import concurrent.futures
import json
import os
import subprocess
import sys

import garage
import rounds
import servers

DOMAIN = "example.org"
BIG = "alice"  # who has the hundred messages
CONFIG = """[[imap]]
address = "127.0.0.1:{imap}"
tls = "none"

[[lmtp]]
address = "127.0.0.1:{lmtp}"

[delivery]
domains = ["{domain}"]

{storage}
[accounts]
file = "accounts.toml"
"""
EMBEDDED = '[storage]\nkind = "embedded"\nfolder = "mail"\n'


class Place:
    """One server, its accounts and what stores their mail. All settings that are not about
    where things are have their defaults, Argon2's 19 MiB for a login among them."""

    def __init__(self, folder, name, binary, node, users, imapbench):
        folder.mkdir()
        self.folder, self.name, self.node, self.imapbench = folder, name, node, imapbench
        self.users = [f"user{number}" for number in range(users)]
        self.lmtp = servers.free_port()
        imap = servers.free_port()
        self.bucket = node.bucket(name) if node else None
        storage = garage.STORAGE.format(**self.bucket) if node else EMBEDDED
        config = folder / "restante.toml"
        config.write_text(CONFIG.format(imap=imap, lmtp=self.lmtp, domain=DOMAIN, storage=storage))
        config.chmod(0o600)
        for user in (BIG, *self.users):
            subprocess.run([binary, "account", "add", user, "--password-stdin", "--config", config], check=True,
                           input=servers.PASSWORD.encode() + b"\n", stdout=subprocess.DEVNULL)
        self.server = servers.write_spec(folder, name, [binary, "serve", "--config", config], imap, forks=False)

    @property
    def port(self):
        return self.server.port

    def restart(self):
        """A fresh server; its pid."""
        self.server.stop()
        return self.server.start()

    def pids(self):
        return {"server": self.server.child.pid, **({"garage": self.node.child.pid} if self.node else {})}

    def requests(self):
        """What Garage was asked so far; the long polls of the doorbells, whose number follows the
        clock, are left out. Nothing where mail is in a folder."""
        if not self.node:
            return {}
        return {name: count for name, count in self.node.requests().items() if name != "k2v PollRange"}

    def bench(self, measures, *extra):
        """imapbench.py against a server that runs; what it found."""
        out = self.folder / "imapbench.json"
        out.unlink(missing_ok=True)
        restart = f"{sys.executable} {rounds.HERE / 'servers.py'} restart {self.folder}"
        subprocess.run([sys.executable, self.imapbench, *measures, "--port", str(self.port), "--user", BIG, "--password",
                        servers.PASSWORD, "--out", out, *map(str, extra),
                        *(["--restart-cmd", restart] if "--fresh-server" in extra else ["--pid", str(self.server.child.pid)])],
                       stdout=subprocess.DEVNULL, check=False)
        results = json.loads(out.read_text())["results"]
        return {measure: rounds.trim(measure, results[measure]) for measure in measures}

    def deliver(self, recipients, *extra):
        """`bench/deliver` to these users."""
        to = [word for user in recipients for word in ("--to", f"{user}@{DOMAIN}")]
        out = subprocess.run([sys.executable, rounds.HERE / "deliver", "--port", str(self.lmtp), *to, *map(str, extra)],
                             stdout=subprocess.PIPE, check=True)
        return json.loads(out.stdout)

    def floor(self, binary, *command):
        """What Garage gives to a client that does nothing else."""
        b = self.bucket
        env = {**os.environ, "GARAGE_S3": f"127.0.0.1:{b['s3']}", "GARAGE_K2V": f"127.0.0.1:{b['k2v']}",
               "GARAGE_BUCKET": b["bucket"], "GARAGE_KEY": b["key"], "GARAGE_SECRET": b["secret"]}
        out = subprocess.run([binary, *map(str, command)], env=env, stdout=subprocess.PIPE, check=True)
        return json.loads(out.stdout.decode().splitlines()[0])


def together(work, things):
    """Does it to all of them at the same time, a thread for each."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(things)) as pool:
        return list(pool.map(work, things))
