"""The gateway as an operator runs it: the binary, a file, two ports."""

import http.client
import os
import pathlib
import time
import urllib.request

from processes import Process, free_port
from proxy import wait_until
from sender import SECRET

BINARY = pathlib.Path(os.environ.get("HOOKSLUICE_FAULTS_BINARY", ""))


class Gateway:
    def __init__(self, directory, destination="", *, journal="", more="", name="gateway"):
        """`destination`: YAML of the destination `broker`; without one, the journal takes the events."""
        self.dir = directory
        self.name = name
        self.env = {}
        self.sources = ""
        directory.mkdir(parents=True, exist_ok=True)
        self.port, self.admin = free_port(), free_port()
        self.journal = directory / "journal" / "hooksluice.db"
        self.config = directory / "hooksluice.yaml"
        self.log = directory / "gateway.log"
        self.journal_settings, self.more, self.destination = journal, more, destination
        self.body_limit = "1MiB"
        self.tls = ""
        self.process = None
        self.wrapper = []
        self.starts = 0

    def write(self):
        target = "destination: broker, " if self.destination else ""
        text = (
            f"ingress: {{ listen: 127.0.0.1:{self.port}, drain_delay: 200ms, body_limit: {self.body_limit}{self.tls} }}\n"
            f"admin: {{ listen: 127.0.0.1:{self.admin} }}\n"
            f"log: {{ format: json }}\n"
            f"journal: {{ path: {self.journal}{self.journal_settings} }}\n"
            f"{self.more}\n"
            + (f"destinations: {{ broker: {self.destination} }}\n" if self.destination else "")
            + f"sources: {{ ledger: {{ provider: hmac, {target}secrets: [{{ value: {SECRET.decode()} }}], settings: {{ key_pointer: /key }} }}{self.sources} }}\n"
        )
        # A reload must never see half a file.
        part = self.config.with_suffix(".part")
        part.write_text(text)
        part.rename(self.config)

    def start(self):
        self.write()
        self.process = Process(self.name, [*self.wrapper, BINARY, "serve", "--config", self.config], self.log, self.env)
        self.starts += 1

        def listens():
            if not self.process.running():
                raise SystemExit(f"the gateway does not start:\n{self.process.tail()}")
            return self.get("/livez")[0] == 200

        wait_until("the gateway listens", listens, 60, every=0.02)
        return self

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, name, label=""):
        total = 0.0
        for sample in self.get("/metrics")[1].splitlines():
            series, _, value = sample.rpartition(" ")
            if series.split("{")[0] == name and label in series and not sample.startswith("#"):
                total += float(value)
        return total

    def drained(self, timeout):
        wait_until(
            "the spool is empty and nothing is in flight",
            lambda: self.metric("hooksluice_spool_events") == 0 and self.metric("hooksluice_deliveries_in_flight") == 0,
            timeout,
            every=0.1,
        )

    def accounted(self):
        """What came in, less the sum of its outcomes and what is in flight: 0, always."""
        return (
            self.metric("hooksluice_deliveries_received_total")
            - self.metric("hooksluice_deliveries_total")
            - self.metric("hooksluice_deliveries_in_flight")
        )
