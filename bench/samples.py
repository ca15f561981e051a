"""Follows processes while something happens to them: resident memory and CPU time, read
every few milliseconds by a process of its own, so that neither the client that is measured
nor its interpreter's lock holds a sample up.

    python3 samples.py PERIOD_S NAME=PID …     one line a sample, until it is ended
"""

import os
import pathlib
import subprocess
import sys
import threading
import time

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


class Samples:
    """Samples of some processes, from entering the `with` to leaving it."""

    def __init__(self, pids, period_s=0.01):
        self.argv = [sys.executable, __file__, str(period_s), *(f"{name}={pid}" for name, pid in pids.items())]
        self.rows = {name: [] for name in pids}  # (seconds of the monotonic clock, KiB, CPU seconds)

    def __enter__(self):
        self.child = subprocess.Popen(self.argv, stdout=subprocess.PIPE, text=True)
        self.child.stdout.readline()  # it is there
        # Lines wait in the pipe otherwise, until it is full and the sampler stands still.
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.child.stdout))
        self.reader.start()
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.reader.join()
        self.child.wait()
        for line in self.lines:
            name, *figures = line.split()
            if len(figures) == 3:  # the last line may be cut off
                self.rows[name].append(tuple(map(float, figures)))


def processor_seconds(pid):
    """User and system time of all threads, to the nanosecond: /proc/PID/stat counts in steps
    of 10 ms, which is as long as a sample."""
    return time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(3) gives


def waited_seconds(pid):
    """How long its threads were ready to run and had no processor: what other work on the
    machine, or our own, took from it."""
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[1]) for task in tasks) / 1e9


def resident_kib(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB


def peak_kib(pid):
    """The kernel's own high-water mark of the resident set since `forget_peak`."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def forget_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def main():
    period, pids = float(sys.argv[1]), [x.split("=") for x in sys.argv[2:]]
    print("begin", flush=True)
    while True:
        for name, pid in pids:
            try:
                print(name, time.monotonic(), resident_kib(int(pid)), processor_seconds(int(pid)), flush=True)
            except OSError:
                return  # it has ended
        time.sleep(period)


if __name__ == "__main__":
    main()
