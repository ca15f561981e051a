"""The servers that are compared: how each is configured, started, stopped.

One server is a folder: `server.json` says how to start it, `pid` is the process
that runs now, `log` what it wrote. So the restart command that imapbench.py
calls before a cold measure is nothing but this file with that folder:

    python3 servers.py restart FOLDER      # prints the new pid

and the benchmark can always find and end what still runs.
"""

import json
import os
import pathlib
import pwd
import signal
import socket
import subprocess
import sys
import time

USER, PASSWORD = "alice", "hunter2"
START_TIMEOUT_S = 30  # until the greeting; a server that needs longer is broken
STOP_TIMEOUT_S = 20  # after SIGTERM; then SIGKILL
PACKAGES = {  # file that must exist -> the Debian package that has it
    "/usr/sbin/dovecot": "dovecot-core",
    "/usr/lib/dovecot/imap": "dovecot-imapd",
    "/usr/lib/dovecot/modules/lib10_mail_crypt_plugin.so": "dovecot-core",
    "/usr/lib/dovecot/libdcrypt_openssl.so": "dovecot-core",
}


class Server:
    """A server in its own folder. `start` and `stop` may be called in any order."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        spec = json.loads((self.folder / "server.json").read_text())
        self.name, self.argv, self.port = spec["name"], spec["argv"], spec["port"]
        self.forks, self.filling_argv = spec["forks"], spec["filling_argv"]
        self.child = None

    def start(self, filling=False):
        """Starts the server, waits for its greeting, returns its pid.

        With `filling` as fast as it can store, where it has a way to skip fsync: never
        for a measure, only to get messages into a mailbox for the next one.
        """
        argv = self.filling_argv if filling else self.argv
        with open(self.folder / "log", "ab") as log:
            # Its own session: a Ctrl-C at the terminal reaches the benchmark, which
            # then stops the server in order. The parent's pipes are not inherited.
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     cwd=self.folder, start_new_session=True)
        self.child = child
        (self.folder / "pid").write_text(f"{child.pid}\n")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._greets():
            if child.poll() is not None or time.monotonic() > deadline:
                tail = (self.folder / "log").read_bytes()[-2000:].decode("utf-8", "replace")
                self.stop()
                raise RuntimeError(f"{self.name} gave no greeting; the end of its log:\n{tail}")
            time.sleep(0.02)
        return child.pid

    def death(self):
        """How the server that this object started ended by itself; None while it runs.
        The end of its log goes to stderr, since the folder will be gone."""
        status = self.child.poll() if self.child else None
        if status is None:
            return None
        tail = (self.folder / "log").read_bytes()[-3000:].decode("utf-8", "replace")
        print(f"{self.name} ended during a measure; the end of its log:\n{tail}", file=sys.stderr)
        return f"killed by signal {-status}" if status < 0 else f"exited with status {status}"

    def stop(self):
        """SIGTERM, then SIGKILL after STOP_TIMEOUT_S. Nothing runs: nothing happens."""
        try:
            pid = int((self.folder / "pid").read_text())
        except (OSError, ValueError):
            return
        if is_ours(pid, self.argv) or is_ours(pid, self.filling_argv):
            os.kill(pid, signal.SIGTERM)
            if not wait_gone(pid, STOP_TIMEOUT_S):
                os.kill(pid, signal.SIGKILL)
                wait_gone(pid, 5)
        (self.folder / "pid").unlink(missing_ok=True)
        deadline = time.monotonic() + 5
        while self._listens() and time.monotonic() < deadline:  # children of a killed master
            time.sleep(0.05)

    def _greets(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                return s.recv(64).startswith(b"* OK")
        except OSError:
            return False

    def _listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False


def is_ours(pid, argv):
    """Whether `pid` is alive and still the program that we started (pids are used again)."""
    try:
        cmdline = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(argv[-1]) in cmdline  # the last argument holds our folder or port


def wait_gone(pid, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.waitpid(pid, os.WNOHANG)  # reaps it if it is our own child
        except ChildProcessError:
            pass
        try:
            # A zombie is gone too: whoever adopted it may take seconds to reap it.
            state = pathlib.Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0]
        except OSError:
            return True
        if state == b"Z":
            return True
        time.sleep(0.02)
    return False


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write_spec(folder, name, argv, port, forks, filling_argv=None):
    spec = {"name": name, "argv": [str(a) for a in argv], "port": port, "forks": forks,
            "filling_argv": [str(a) for a in filling_argv or argv]}
    (folder / "server.json").write_text(json.dumps(spec))
    return Server(folder)


def restante(folder, name, binary):
    """A Restante binary with its embedded store, as `demo` runs it."""
    folder.mkdir()
    port = free_port()
    argv = [binary, "demo", "--data", folder / "data", "--imap", f"127.0.0.1:{port}"]
    return write_spec(folder, name, argv, port, forks=False)


def missing_packages():
    return sorted({package for path, package in PACKAGES.items() if not os.path.exists(path)})


def dovecot_version():
    out = subprocess.run(["/usr/sbin/dovecot", "--version"], stdout=subprocess.PIPE, check=True)
    return out.stdout.decode().split()[0]


def dovecot(folder, name, curve=None):
    """Debian's Dovecot on a Maildir; with `curve`, encrypted by mail_crypt.

    With mail_crypt every folder has a key pair, sealed to the user's, which is itself
    encrypted by the password of the login: the nearest thing to Restante's own
    promise, that the mail opens only with the user's password.
    """
    folder.mkdir()
    home = folder / "home"
    home.mkdir()
    port = free_port()
    root = os.geteuid() == 0
    # Dovecot refuses mail of uid 0: run as root, the mail is nobody's.
    owner = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.geteuid())
    if root:
        os.chown(home, owner.pw_uid, owner.pw_gid)
    config = folder / "dovecot.conf"
    config.write_text(dovecot_config(folder, home, port, owner, root, curve))
    filling = folder / "dovecot-filling.conf"
    filling.write_text(config.read_text() + "mail_fsync = never\n")
    command = ["/usr/sbin/dovecot", "-F", "-c"]
    return write_spec(folder, name, [*command, config], port, True, [*command, filling])


def dovecot_config(folder, home, port, owner, root, curve):
    static = f"password={PASSWORD}"
    if curve:
        static += " userdb_mail_crypt_private_password=%w"
    lines = [
        f"base_dir = {folder}/run",
        f"state_dir = {folder}/run",
        "protocols = imap",
        "listen = 127.0.0.1",
        "ssl = no",
        "disable_plaintext_auth = no",
        f"log_path = {folder}/dovecot.log",
        "passdb {\n  driver = static\n  args = " + static + "\n}",
        "userdb {\n  driver = static\n"
        f"  args = uid={owner.pw_uid} gid={owner.pw_gid} home={home}\n}}",
        f"mail_location = maildir:{home}/Maildir",
        # 100 idle connections of one user from one address, one process each.
        "mail_max_userip_connections = 2000",
        "default_process_limit = 2000",
        "default_client_limit = 4000",
        "service imap-login {\n  inet_listener imap {\n    port = %d\n  }\n"
        "  inet_listener imaps {\n    port = 0\n  }\n%s}" % (port, "" if root else "  chroot =\n"),
        "namespace inbox {\n  inbox = yes\n}",
    ]
    if not root:
        lines += [f"default_internal_user = {owner.pw_name}", f"default_login_user = {owner.pw_name}",
                  f"default_internal_group = {owner.pw_gid}",
                  "service anvil {\n  chroot =\n}", "service stats {\n  chroot =\n}"]
    if curve:
        lines += [f"mail_attribute_dict = file:{home}/Maildir/dovecot-attributes",
                  "mail_plugins = $mail_plugins mail_crypt",
                  "plugin {\n  mail_crypt_save_version = 2\n"
                  f"  mail_crypt_curve = {curve}\n  mail_crypt_require_encrypted_user_key = yes\n}}"]
    return "\n".join(lines) + "\n"


def stored_in_clear(folder, word):
    """How many stored mail files hold `word` readably, and how many there are.

    Dovecot's index files are left out: mail_crypt does not encrypt them, which is
    a difference in what the two promise and not in how the plugin is set up.
    """
    home = folder / "home"
    if home.exists():
        files = [p for p in home.rglob("*") if p.is_file() and p.parent.name in ("cur", "new")]
    else:
        files = [p for p in (folder / "data").rglob("*") if p.is_file()]
    return sum(word in p.read_bytes() for p in files), len(files)


def main():
    command, folder = sys.argv[1:]
    server = Server(folder)
    if command not in ("restart", "stop"):
        sys.exit("usage: servers.py restart|stop FOLDER")
    server.stop()
    if command == "restart":
        print(server.start())


if __name__ == "__main__":
    main()
