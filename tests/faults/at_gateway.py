"""Faults of the gateway's own process, of its surroundings and of its clients: on every destination."""

import glob
import hashlib
import http.client
import json
import os
import resource
import signal
import socket
import ssl
import sys
import time

import proxy
from processes import ROOT, Process, run as command
from sender import sign
from stage import fault

EVERYWHERE = ("journal", "kafka", "rabbitmq")


def everywhere(name, says, short=(), **options):
    """Registers a fault once for each destination; `short` names those of the short run."""

    def register(carry_out):
        for on in EVERYWHERE:
            fault(f"{on}-{name}", on, says, short=on in short, **options)(carry_out)
        return carry_out

    return register


@everywhere(
    "gateway-killed", "gateway killed (kill -9) and restarted", short=("journal", "kafka"), bounded=False,
    more="duplicates: { store: journal }",
)  # fmt: skip
def gateway_killed(run):
    times = 100 if run.long else 5
    for _ in range(times):
        run.load(0.8 / times)
        run.strike("kill -9 of the gateway")
        run.gateway.process.kill()
        run.gateway.start()
    run.heal()
    run.load(0.2)


@everywhere("gateway-stopped", "gateway stopped (SIGTERM) and restarted", short=("rabbitmq",))
def gateway_stopped(run):
    times = 20 if run.long else 4
    for _ in range(times):
        run.load(0.8 / times)
        run.strike("SIGTERM")
        restart(run, run.gateway)
    run.heal()
    run.load(0.2)


def restart(run, gateway):
    code = gateway.process.stop(40)
    if code != 0:
        run.problem(f"the gateway ended with {code}")
    gateway.start()


def down_and(name, says, end, **options):
    """The gateway ends while the broker is down and the spool holds what it acknowledged."""

    def carry_out(run):
        run.load(0.3)
        run.strike("broker killed")
        broker = run.kafka.processes[0] if run.fault.on == "kafka" else run.rabbitmq.process
        broker.kill()
        for _ in range(5 if run.long else 2):
            run.during(2, 0.15)
            run.strike(name)
            end(run)
        run.sender.rate(run.size * 0.05)
        if run.fault.on == "kafka":
            run.kafka.start(wait=False)
            run.kafka.answers(run.topic)
        else:
            run.rabbitmq.start()
            run.rabbitmq.answers(run.topic)
        run.heal()
        run.load(0.3)

    for on in ("kafka", "rabbitmq"):
        fault(f"{on}-down-and-{name}", on, says, **options)(carry_out)


def kill_and_start(run):
    run.gateway.process.kill()
    run.gateway.start()


down_and("gateway-stopped", "broker killed, and the gateway stopped (SIGTERM) meanwhile", lambda run: restart(run, run.gateway))
down_and("gateway-killed", "broker killed, and the gateway killed (kill -9) meanwhile", kill_and_start, bounded=False)


@everywhere("rolling-restart", "two replicas, restarted by SIGTERM in turn", ordered=False, replicas=2)
def rolling_restart(run):
    times = 10 if run.long else 2
    for n in range(2 * times):
        run.load(0.4 / times)
        run.strike("SIGTERM of one of two")
        restart(run, run.gateways[n % 2])
    run.heal()
    run.load(0.2)


@everywhere("client-resets", "clients reset the connection in mid-body and in mid-answer", rude=0.3)
def client_resets(run):
    run.load(0.3)
    run.strike("3 in 10 first attempts are reset by the client")
    run.load(0.5)
    run.sender.rude = 0.0
    run.heal()
    run.load(0.2)


@everywhere("reloads", "configuration reloaded (SIGHUP) under load")
def reloads(run):
    times = 200 if run.long else 20
    run.load(0.2)
    run.strike(f"{times} reloads")
    run.sender.rate(run.size * 0.6 / (times * 0.06))
    for n in range(times):
        run.gateway.body_limit = f"{1 + n % 2}MiB"
        # Every tenth also changes the destination: its client is replaced in mid-flight.
        if n % 10 == 0:
            swaps = ("compression.type: none", "compression.type: gzip"), (", exchange:", ", channels: 3, exchange:")
            for one, other in swaps:
                old, new = (one, other) if n % 20 == 0 else (other, one)
                run.gateway.destination = run.gateway.destination.replace(old, new)
        run.gateway.write()
        run.gateway.process.signal(signal.SIGHUP)
        time.sleep(0.05)
    proxy.wait_until("the last reload is taken", lambda: run.gateway.metric("hooksluice_config_last_reload_successful") == 1, 10)
    run.heal()
    run.load(0.2)


@everywhere("no-descriptors", "file descriptors exhausted", churn=0.2)
def no_descriptors(run):
    run.load(0.3)
    seconds = 15 if run.long else 5
    pid = run.gateway.process.pid
    run.strike(f"no descriptor left for {seconds} s")
    held = [open_socket(run) for _ in range(100)]
    limit, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) - 20, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))
    run.during(seconds)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))
    for one in held:
        one.close()
    run.heal()
    run.load(0.3)


def open_socket(run):
    return socket.create_connection(("127.0.0.1", run.gateway.port), timeout=5)


@fault("journal-slow-connections", "journal", "slow connections, a byte now and then")
def slow_connections(run):
    count = 10_000 if run.long else 1_000
    run.load(0.2)
    crowd = Process("slow", [sys.executable, ROOT / "tests/faults/slow.py", run.gateway.port, count], run.dir / "slow.log")
    proxy.wait_until("the slow connections stand", lambda: established(run.gateway.process.pid) > 0.8 * count, 60)
    run.strike(f"{count} slow connections")
    run.during(20 if run.long else 6, 0.5)
    crowd.stop(5)
    run.heal()
    run.load(0.3)


def established(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Certificates:
    """A certificate of a day, and another one whenever asked. The client takes any: what counts is which it was shown."""

    def __init__(self):
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def prepare(self, run):
        self.dir = run.dir
        self.rotate()
        run.gateway.tls = f", tls: {{ certificate: {self.dir}/tls.crt, key: {self.dir}/tls.key }}"

    def rotate(self):
        command(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost",
            "-keyout", self.dir / "new.key", "-out", self.dir / "new.crt",
        )  # fmt: skip
        # Not at once, as it is when two files are written.
        (self.dir / "new.key").rename(self.dir / "tls.key")
        (self.dir / "new.crt").rename(self.dir / "tls.crt")
        return ssl.PEM_cert_to_DER_cert((self.dir / "tls.crt").read_text())

    def shown(self, run):
        with socket.create_connection(("127.0.0.1", run.gateway.port), timeout=5) as plain:
            with self.context.wrap_socket(plain, server_hostname="localhost") as tls:
                return tls.getpeercert(binary_form=True)


@fault("journal-certificate-rotated", "journal", "TLS certificate rotated under load", tls=Certificates, churn=0.1)
def certificate_rotated(run):
    times = 20 if run.long else 4
    for _ in range(times):
        run.load(0.8 / times)
        run.strike("certificate rotated")
        wanted = run.tls.rotate()
        proxy.wait_until("the new certificate is shown", lambda: run.tls.shown(run) == wanted, 10)
    run.heal()
    run.load(0.2)


def wrong_clock(run):
    # The loader only grumbles about a library that is not there, and the clock would be right.
    library = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
    if not library:
        raise SystemExit("libfaketime is missing: scripts/setup test")
    run.clock = run.dir / "clock"
    run.clock.write_text("+0s")
    environment = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(run.clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    for gateway in run.gateways:
        gateway.env = environment
        gateway.sources = (
            ", stamped: { provider: hmac, secrets: [{ value: ledger-secret }], settings: "
            "{ timestamp_header: X-Time, content: [timestamp, '.', body] } }"
        )


@everywhere("clock-wrong", "clock one hour ahead, then one hour behind", before=wrong_clock)
def clock_wrong(run):
    for what in ("+1h", "-1h"):
        run.load(0.2)
        run.strike(f"clock {what}")
        run.clock.write_text(what)
        time.sleep(2)
        stale = stamped(run)
        counted = run.gateway.metric("hooksluice_verify_failures_total", 'source="stamped"')
        if stale != 401 or not counted:
            run.problem(f"clock {what}: a signed timestamp was answered {stale}, {counted:.0f} counted")
        run.load(0.1)
        run.clock.write_text("+0s")
        time.sleep(2)
        if (normal := stamped(run)) != 200:
            run.problem(f"after clock {what}: a signed timestamp was answered {normal}")
    run.heal()
    run.load(0.3)


def stamped(run):
    """A delivery that signs its time, which is now. Its events lie in the journal beside the others."""
    id = f"stamped-{time.time_ns()}"
    body = json.dumps({"id": id, "type": "ledger.stamped"}).encode()
    line = {"id": id, "seq": None, "key": None, "sha256": hashlib.sha256(body).hexdigest(), "attempt": 1}
    now = str(int(time.time()))
    run.log.write(**line, outcome="sent")
    connection = http.client.HTTPConnection("127.0.0.1", run.gateway.port, timeout=10)
    connection.request("POST", "/in/stamped", body, {"x-time": now, "x-signature": sign(now.encode() + b"." + body)})
    status = connection.getresponse().status
    run.log.write(**line, outcome="ack" if status == 200 else "nack")
    return status
