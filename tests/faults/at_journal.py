"""Faults of the disk under the journal."""

import os
import shutil
import signal
import time

from processes import Process, run as command
from stage import fault


class SmallDisk:
    """The journal on a file system of its own, of `size`. Needs root."""

    def __init__(self, run, size):
        self.path = run.dir / "gateway-0" / "journal"
        self.path.mkdir(parents=True)
        command("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", self.path)

    def fill(self):
        """Takes what is left. A little more may come free when the journal gives pages back: it takes that, too."""
        with open(self.path / "ballast", "ab", buffering=0) as ballast:
            for chunk in (1 << 20, 1 << 16, 1 << 12):
                try:
                    while True:
                        ballast.write(b"\0" * chunk)
                except OSError:
                    pass

    def clear(self):
        os.remove(self.path / "ballast")

    def close(self):
        # What the consumer reads stays behind, on the disk around it.
        copy = self.path.with_name("journal-copy")
        shutil.copytree(self.path, copy)
        command("umount", self.path)
        for file in copy.iterdir():
            shutil.move(file, self.path)


def small_disk(run):
    # Room for what is stored before the fault, and for its log.
    run.disk = SmallDisk(run, f"{max(48, run.size // 100)}m")
    run.at_end.append(run.disk.close)


def fill(run):
    seconds = 15 if run.long else 4
    run.strike(f"disk full for {seconds} s")
    end = time.monotonic() + seconds
    run.sender.rate(run.size * 0.1)
    while time.monotonic() < end:
        run.disk.fill()
        time.sleep(0.5)
    run.disk.clear()
    run.heal()
    run.load(0.3)


@fault("journal-disk-full", "journal", "disk full (small tmpfs)", short=True, journal=", min_free: 0", before=small_disk, root=True)
def disk_full(run):
    run.load(0.4)
    fill(run)
    if not run.sender.statuses.get(503):
        run.problem("the full disk was not noticed: no 503")


@fault("journal-reserve", "journal", "less than `min_free` left on the disk", journal=", min_free: 8MiB", before=small_disk, root=True)
def reserve(run):
    run.load(0.4)
    fill(run)
    if not run.sender.statuses.get(503):
        run.problem("the reserve was not kept: no 503")


def inject(run, what):
    """strace makes the system calls of the running gateway fail, or slow."""
    log = run.dir / "strace.log"
    tracer = Process(
        "strace", ["strace", "-f", "-q", "-o", log, "-p", run.gateway.process.pid, "-e", "trace=fsync,fdatasync", "-e", f"inject=fsync,fdatasync:{what}"], log
    )  # fmt: skip
    time.sleep(1)
    if not tracer.running():
        raise RuntimeError(f"strace does not attach: {tracer.tail()}")
    return tracer


def detach(tracer):
    tracer.signal(signal.SIGINT)
    tracer.wait(20)


@fault("journal-fsync-fails", "journal", "fsync fails with EIO (strace)", short=True, root=True)
def fsync_fails(run):
    times = 10 if run.long else 3
    for _ in range(times):
        run.load(0.6 / times)
        run.strike("every fsync fails for 1 s")
        tracer = inject(run, "error=EIO")
        time.sleep(1)
        detach(tracer)
        if "(INJECTED)" not in open(run.dir / "strace.log").read():
            run.problem("no fsync failed")
        run.heal()
    run.load(0.4)


@fault("journal-slow-disk", "journal", "slow disk: every fsync takes 300 ms more (strace)", root=True)
def slow_disk(run):
    run.load(0.4)
    seconds = 30 if run.long else 8
    run.strike(f"slow for {seconds} s")
    tracer = inject(run, "delay_enter=300000")
    run.during(seconds, 0.2)
    detach(tracer)
    run.heal()
    run.load(0.4)


def spooling(on, break_it, mend_it):
    """The disk under the spool fails while the broker is down: both at once."""

    def carry_out(run):
        run.load(0.3)
        run.strike("broker killed")
        break_it(run)
        run.during(2, 0.2)
        run.strike("every fsync fails for 1 s")
        tracer = inject(run, "error=EIO")
        time.sleep(1)
        detach(tracer)
        run.during(2, 0.2)
        run.sender.rate(run.size * 0.05)
        mend_it(run)
        run.heal()
        run.load(0.3)

    fault(f"{on}-down-and-fsync-fails", on, "broker killed, and fsync fails under the spool", root=True)(carry_out)


def mend_kafka(run):
    run.kafka.start(wait=False)
    run.kafka.answers(run.topic)


def mend_rabbitmq(run):
    run.rabbitmq.start()
    run.rabbitmq.answers(run.topic)


spooling("kafka", lambda run: run.kafka.processes[0].kill(), mend_kafka)
spooling("rabbitmq", lambda run: run.rabbitmq.process.kill(), mend_rabbitmq)
