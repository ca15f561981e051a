"""Rounds of measures over servers: what `bench/run` repeats, pairs and keeps."""

import importlib
import json
import pathlib
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

import servers

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent
# What each step takes from imapbench.py's output: the measure, then its rows.
KEPT_ROWS = {
    "append": None,
    "fetch": ("full_first_sets_seen", "full_peek", "envelope", "list_headers", "bodystructure", "one_full"),
    "search": ("text_missing", "body_present", "subject_missing"),
    "large": ("append", "select_after_restart", "select_warm", "fetch_flags", "fetch_envelope",
              "search_subject_missing", "store_add_seen"),
}
KEPT_FIGURES = (
    "status", "error", "reply", "wall_s", "wall_s_runs", "first_response_s", "server_cpu_s", "client_cpu_s",
    "rss_before_kib", "rss_peak_kib", "rss_growth_at_peak_kib", "fetch_responses", "octets_in", "hits",
    "expected_hits", "messages", "messages_per_s", "latency_median_s", "latency_p95_s", "latency_max_s",
    "window", "window_messages_per_s", "login_s")


class Run:
    """One run of the benchmark: its options, its folder, its results so far."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.servers, self.results, self.steps = {}, {}, []
        sys.path.insert(0, str(options.imapbench.resolve().parent))
        self.client = importlib.import_module(options.imapbench.stem)
        self.deadline = time.monotonic() + 60 * options.minutes

    def prepare(self):
        o = self.options
        for name in o.servers:
            folder = self.folder / name
            if name.startswith("restante"):
                self.servers[name] = servers.restante(folder, name, binary(name, o))
            else:
                curve = o.curve if name == "dovecot-mail-crypt" else None
                self.servers[name] = servers.dovecot(folder, name, curve)
            self.results[name] = {"rounds": []}

    def measure_all(self):
        names = list(self.servers)
        for number in range(self.options.rounds):
            # Every other round in the opposite order, so that a slow drift of the
            # machine does not always fall on the same server.
            for name in names if number % 2 == 0 else reversed(names):
                say(f"round {number + 1}: {name}")
                self.results[name]["rounds"].append(self.one_round(name))
        for name in names:
            say(f"stored bytes, memory, idle, large: {name}")
            result = self.results[name]
            result["stored"] = self.stored(name)
            # A fresh process for each command: a peak is not hidden by what an
            # earlier command left with the allocator.
            result["memory"] = self.bench(name, ["fetch", "search"], "--repeat", "1", "--fresh-server")
            # 40: below the connections that a user of Restante may have (50).
            idle = ("--idle-counts", "10,40", "--settle-s", "2", "--idle-watch-s", "1")
            result["idle"] = self.bench(name, ["idle"], *idle).get("idle")
            result["large"] = self.large(name)
            self.servers[name].stop()

    def one_round(self, name):
        pid = self.servers[name].start()
        try:
            result = self.bench(name, ["append", "fetch", "search"], "--repeat", "3", pid=pid)
            death = self.servers[name].death()
            return {**result, "server_ended": death} if death else result
        finally:
            self.servers[name].stop()

    def large(self, name):
        """The large mailbox. Where the time for APPEND was too short, it is filled up to
        the same count before SELECT and the rest are measured."""
        o, common = self.options, ("--repeat", "3", "--large-no-body-search")
        self.steps = []
        result = self.bench(name, ["large"], *common, "--large-count", str(o.large_count),
                            "--large-time-limit-s", str(o.append_limit_s))["large"]
        append = result.get("append", {})
        append["server_cpu_steps"], self.steps = self.steps, []
        missing = o.large_count - append.get("messages", o.large_count)
        if missing > 0 and "error" not in append:
            say(f"  filling up with {missing} messages")
            self.fill(name, missing)
            result = self.bench(name, ["large"], *common, "--large-reuse")["large"]
            result["append"] = append
        return result

    def fill(self, name, count):
        server, client = self.servers[name], self.client
        server.stop()
        server.start(filling=True)
        connection, rng = client.Imap("127.0.0.1", server.port, 60), random.Random(8)
        connection.login(servers.USER, servers.PASSWORD)
        for number in range(count):
            message = client.make_message(rng, number, int(2000 * rng.uniform(0.6, 1.4)))
            connection.append("BenchLarge", message)
        connection.logout()
        server.stop()

    def follow(self, name, lines):
        """Passes imapbench's progress on; notes the server's CPU time at each step of
        `large`: where other work keeps the machine or the disk busy, it tells better
        than the rate whether a message costs more in a larger mailbox."""
        server = self.servers[name]
        for line in lines:
            sys.stderr.write(line)
            step = re.search(r"large append (\d+):", line)
            if step:
                pid = int((server.folder / "pid").read_text())
                self.steps.append([int(step[1]), self.client.Procs([pid], server.forks).cpu()])

    def stored(self, name):
        clear, files = servers.stored_in_clear(self.servers[name].folder, b"example.org")
        say(f"  {clear} of {files} stored files show plaintext")
        if name != "dovecot" and clear:
            raise SystemExit(f"{name}: {clear} of {files} stored files are not encrypted")
        return {"files": files, "files_with_plaintext": clear}

    def bench(self, name, measures, *extra, pid=None):
        """Runs imapbench.py against the server; its trimmed results."""
        server, out = self.servers[name], self.folder / "imapbench.json"
        argv = [sys.executable, str(self.options.imapbench), *measures, "--port", str(server.port),
                "--user", servers.USER, "--password", servers.PASSWORD, "--out", str(out), *extra]
        if server.forks:
            argv.append("--tree")
        if pid:
            argv += ["--pid", str(pid)]
        else:
            restart = [sys.executable, str(HERE / "servers.py"), "restart", str(server.folder)]
            argv += ["--restart-cmd", shlex.join(restart)]
        out.unlink(missing_ok=True)
        left = self.deadline - time.monotonic()
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
            timer = threading.Timer(max(left, 1), child.kill)
            timer.start()
            try:
                self.follow(name, child.stderr)
            finally:
                timer.cancel()
                if child.poll() is None and sys.exc_info()[0]:
                    child.kill()
        if child.returncode == -signal.SIGKILL:
            say(f"  out of time ({self.options.minutes} minutes for the whole run, see --minutes)")
        if not out.exists():
            return {measure: {"error": "no result in time"} for measure in measures}
        full = json.loads(out.read_text())
        return {m: trim(m, full["results"].get(m, {})) for m in measures}

    def stop_servers(self):
        for server in self.servers.values():
            server.stop()


def trim(measure, result):
    """Only the figures that the tables use or that show a failure."""
    if "error" in result and measure != "append":
        return {"error": result["error"]}
    if measure == "idle":
        keep = ("idle", "rss_kib", "pss_kib", "error", "login_median_s", "notify_last_median_s")
        steps = [{k: step[k] for k in keep if k in step} for step in result["steps"]]
        return {"base_rss_kib": result["base_rss_kib"], "base_pss_kib": result["base_pss_kib"], "steps": steps}
    rows = KEPT_ROWS[measure]
    if rows is None:
        return {k: result[k] for k in KEPT_FIGURES if k in result}
    return {row: {k: result[row][k] for k in KEPT_FIGURES if k in result[row]} for row in rows if row in result}


def binary(name, options):
    given = options.tokio if name == "restante-tokio" else options.smol
    path = pathlib.Path(given).resolve() if given else target_folder() / "release" / name
    if not path.exists():
        raise SystemExit(f"{name}: no binary at {path}")
    return path


def target_folder():
    out = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version", "1"],
                         cwd=REPO, stdout=subprocess.PIPE, check=True)
    return pathlib.Path(json.loads(out.stdout)["target_directory"])


def commit():
    """What is measured."""
    run = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=REPO,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return run.stdout.decode().strip()


def say(text):
    print(text, file=sys.stderr, flush=True)
