"""Starts processes and ends what it started, by id. Each is also noted in a file, so that `scripts/faults` can end it if
this program dies."""

import atexit
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN = pathlib.Path(os.environ.get("HOOKSLUICE_FAULTS_RUN", ROOT / ".run" / "faults"))
STARTED = RUN / "processes"

_ours = []


class Process:
    def __init__(self, name, command, log, env=None, stdout=None):
        self.name = name
        self.log = log
        with open(log, "ab") as sink:
            # A session of its own: Ctrl-C reaches only this program, which then ends them in order.
            self.popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=stdout or sink,
                stderr=sink,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self.pid = self.popen.pid
        with open(STARTED, "a", encoding="utf-8") as started:
            started.write(f"{name} {self.pid} {started_at(self.pid)}\n")
        _ours.append(self)

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait(10)

    def stop(self, timeout=30):
        """SIGTERM; insists after `timeout`. The exit code."""
        self.thaw()
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def wait(self, timeout):
        return self.popen.wait(timeout)

    def tail(self, lines=15):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-lines:])


def started_at(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[19]


def stop_all():
    for process in reversed(_ours):
        if process.running():
            process.stop(15)


atexit.register(stop_all)


def free_port():
    """Below the range that outgoing connections take theirs from, so that nobody takes it between two starts."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def run(*command, timeout=60, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, **options)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def sleep_until(moment):
    time.sleep(max(0.0, moment - time.monotonic()))
