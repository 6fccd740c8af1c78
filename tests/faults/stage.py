"""One run: a gateway, a sender, a fault in mid-flight, the drain, the consumer, the verdict."""

import contextlib
import dataclasses
import hashlib
import http.client
import json
import shutil
import sqlite3
import sys
import time

import confluent_kafka
import ledger
import sender as senders
from gateway import Gateway
from processes import ROOT, RUN, run
from proxy import wait_until

FAULTS = []

#: A fresh event on a new key arrives within so many seconds of the broker answering again.
FRESH_WITHIN = 10.0


@dataclasses.dataclass
class Fault:
    name: str
    on: str
    says: str
    run: object
    short: bool = False
    ordered: bool = True
    #: Duplicates are bounded by the attempts in flight at the strikes; not where the gateway itself is killed.
    bounded: bool = True
    #: A run that traces only, without a fault: it is not void for having none.
    struck: bool = True
    #: Mounts a file system, or attaches to a process.
    root: bool = False
    options: dict = dataclasses.field(default_factory=dict)


def fault(name, on, says, *, short=False, ordered=True, bounded=True, struck=True, root=False, **options):
    """Registers a fault. `on` says which destination it concerns: `kafka`, `kafka-3`, `rabbitmq`, `journal`."""

    def register(function):
        FAULTS.append(Fault(name, on, says, function, short, ordered, bounded, struck, root, options))
        return function

    return register


class Run:
    def __init__(self, fault, size, brokers, long, directory=None):
        self.fault, self.size, self.brokers, self.long = fault, size, brokers, long
        self.name = fault.name
        self.dir = directory or RUN / "runs" / fault.name
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        self.log = ledger.Log(self.dir / "ledger.jsonl")
        self.doses = []
        self.fresh = 0
        self.extra_found = []
        self.at_end = []

    # Set-up: each run has topics, exchanges and a journal of its own.

    def begin(self):
        options = dict(self.fault.options)
        journal = options.pop("journal", "")
        more = options.pop("more", "")
        partitions = options.pop("partitions", 3)
        topic_config = options.pop("topic", {})
        tls = options.pop("tls", None)
        self.tls = tls() if tls else None
        listener = options.pop("listener", "plain")
        user = options.pop("user", "guest")
        destination = ""
        # Names never repeat, so that no run sees what another one left.
        self.topic = f"{self.name}.{time.time_ns() % 10**9}"
        if self.fault.on.startswith("kafka"):
            self.kafka = self.brokers.kafka(3 if self.fault.on == "kafka-3" else 1)
            replicas = self.kafka.nodes
            self.kafka.create(self.topic, partitions, replicas, **topic_config)
            self.kafka.create(f"dlq.{self.topic}", 1, replicas)
            sasl = ", security.protocol: SASL_PLAINTEXT, sasl.mechanism: SCRAM-SHA-256, sasl.username: gw, sasl.password: secret"
            destination = (
                f'{{ kafka: {{ bootstrap_servers: "{self.kafka.bootstrap(listener)}", topic: {self.topic}, '
                f"properties: {{ compression.type: none{sasl if listener == 'sasl' else ''} }} }} }}"
            )
        elif self.fault.on == "rabbitmq":
            self.rabbitmq = self.brokers.rabbitmq()
            self.rabbitmq.topology(self.topic)
            if user != "guest":
                self.rabbitmq.user(user)
            url = self.rabbitmq.url(listener == "proxied", user)
            # The broker's own quarantine is not what is tested here: what it refuses goes to the journal's.
            destination = f'{{ rabbitmq: {{ url: "{url}", exchange: {self.topic} }}, quarantine: {{ journal: true }} }}'
        self.gateways = [
            Gateway(self.dir / f"gateway-{n}", destination, journal=journal, more=more, name=f"gateway-{n}")
            for n in range(options.pop("replicas", 1))
        ]
        self.gateway = self.gateways[0]
        if self.tls:
            self.tls.prepare(self)
        before = options.pop("before", None)
        if before:
            before(self)
        for gateway in self.gateways:
            gateway.start()
        urls = [("127.0.0.1", gateway.port) for gateway in self.gateways]
        self.sender = senders.Sender(urls, self.log, ssl=self.tls.context if self.tls else None, **options).start()

    # The load around a fault.

    def load(self, share, timeout=120):
        """As fast as it goes, until so much of the run's size is acknowledged."""
        self.sender.rate(None)
        target = self.sender.acks + share * self.size
        wait_until(f"{share:.0%} of the load is acknowledged", lambda: self.sender.acks >= target, timeout, every=0.02)

    def during(self, seconds, share=0.3):
        """Goes on for so long, with about so much of the run's size."""
        self.sender.rate(max(20.0, share * self.size / seconds))
        time.sleep(seconds)
        self.sender.rate(None)

    def strike(self, what):
        self.log.write(outcome="strike", what=what)
        self.doses.append(what)

    def problem(self, what):
        self.log.write(outcome="problem", what=what)

    def heal(self):
        """The broker answers again: a fresh event on a new key must arrive soon."""
        self.fresh += 1
        key = f"fresh-{self.fresh}"
        # It answers when it says where the topic ends, or opens a channel: that it listens is not enough.
        watchers = []
        wait_until("the broker answers", lambda: watchers.append(self._watcher(key)) or True, 60)
        arrived, answered = watchers[0], time.monotonic()
        try:
            self._send_fresh(key, answered + FRESH_WITHIN)
            wait_until("", arrived, answered + FRESH_WITHIN - time.monotonic(), every=0.02)
        except TimeoutError as error:
            self.problem(f"a fresh event did not arrive within {FRESH_WITHIN:.0f} s of the recovery: {error}")
            return
        self.log.write(outcome="recovered", seconds=time.monotonic() - answered)

    def _send_fresh(self, id, until):
        value = {"id": id, "type": "ledger.fresh", "key": id, "seq": 0}
        body = json.dumps(value).encode()
        line = {"id": id, "seq": 0, "key": id, "sha256": hashlib.sha256(body).hexdigest()}
        attempt = 0
        while time.monotonic() < until:
            attempt += 1
            self.log.write(**line, attempt=attempt, outcome="sent")
            outcome = "unknown"
            try:
                kind = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
                context = {"context": self.tls.context} if self.tls else {}
                connection = kind("127.0.0.1", self.gateway.port, timeout=10, **context)
                connection.request("POST", "/in/ledger", body, {"x-signature": senders.sign(body), "content-type": "application/json"})
                outcome = "ack" if 200 <= connection.getresponse().status < 300 else "nack"
                connection.close()
            except (OSError, http.client.HTTPException):
                pass
            self.log.write(**line, attempt=attempt, outcome=outcome)
            if outcome == "ack":
                return
            time.sleep(0.1)
        raise TimeoutError("it was never acknowledged")

    def _watcher(self, id):
        """Something to ask whether the event has arrived at its destination."""
        if self.fault.on.startswith("kafka"):
            watching = confluent_kafka.Consumer(
                {"bootstrap.servers": self.kafka.bootstrap(), "group.id": "fresh", "fetch.wait.max.ms": 50, "log_level": 0}
            )
            parts = []
            for number in watching.list_topics(self.topic, timeout=10).topics[self.topic].partitions:
                part = confluent_kafka.TopicPartition(self.topic, number)
                part.offset = watching.get_watermark_offsets(part, timeout=10)[1]
                parts.append(part)
            watching.assign(parts)

            def arrived():
                for message in watching.consume(500, 0.05):
                    if not message.error() and dict(message.headers() or []).get("ce_id") == id.encode():
                        watching.close()
                        return True
                return False

            return arrived
        if self.fault.on == "rabbitmq":
            connection = self.rabbitmq.connect()
            channel = connection.channel()

            def arrived():
                method, properties, _ = channel.basic_get(f"{self.topic}.fresh", auto_ack=True)
                if method and properties.message_id == id:
                    connection.close()
                    return True
                return False

            return arrived

        def stored():
            with contextlib.closing(sqlite3.connect(f"file:{self.gateway.journal}?mode=ro", uri=True)) as file:
                return file.execute("SELECT 1 FROM events WHERE id = ?", (id,)).fetchone() is not None

        return stored

    # After the faults.

    def finish(self, drain=90):
        self.sender.finish(60)  # does nothing where the run has done so
        for what in self.sender.problems[:3]:
            self.problem(what)
        for gateway in self.gateways:
            if not gateway.process.running() and not self.fault.struck:
                continue
            try:
                gateway.drained(drain)
            except TimeoutError as error:
                self.problem(str(error))
            if gap := gateway.accounted():
                self.problem(f"{gap:.0f} deliveries are not accounted for in the metrics")
            code = gateway.process.stop()
            if code != 0:
                self.problem(f"the gateway ended with {code}")
        self.clean_up()
        self.log.close()
        found = self.extra_found + self.consume()
        return ledger.judge(self.log.path, found, ordered=self.fault.ordered, bounded=self.fault.bounded, struck=self.fault.struck)

    def consume(self, journals=True):
        """Reads every destination from its start, with a process that knows nothing of the gateway."""
        found = []
        if journals:
            for gateway in self.gateways:
                found += consumer("journal", gateway.journal)
        if self.fault.on.startswith("kafka"):
            found += consumer("kafka", self.kafka.bootstrap(), self.topic, f"dlq.{self.topic}")
        elif self.fault.on == "rabbitmq":
            found += consumer("rabbitmq", self.rabbitmq.amqp, self.topic)
        return found

    def give_up(self):
        """Something failed in the harness itself: leave nothing running."""
        for gateway in self.gateways:
            if gateway.process:
                gateway.process.kill()
        self.clean_up()

    def clean_up(self):
        while self.at_end:
            self.at_end.pop()()


def consumer(*words):
    text = run(sys.executable, ROOT / "tests" / "faults" / "consume.py", *words, timeout=300)
    return [json.loads(line) for line in text.splitlines()]
