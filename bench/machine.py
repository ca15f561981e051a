"""What the machine is that measures."""

import pathlib
import platform


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def filesystem(folder):
    """The type of the file system that holds the data: its fsync is half the figures."""
    best, kind = "", "?"
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, mount, this = line.split()[:3]
        inside = str(folder).startswith(mount.rstrip("/") + "/") or mount == "/"
        if inside and len(mount) >= len(best):
            best, kind = mount, this
    return kind
