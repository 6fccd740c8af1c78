"""The sender's log, and the verdict over it and over what an independent consumer found.

The log has one JSON line before and one after each request: `{t, id, seq, key, sha256, attempt, outcome}` with outcome
`sent`, then `ack` (2xx), `nack` (any other answer) or `unknown` (no answer). `strike` and `heal` lines say when a fault
began and ended. The verdict reads the file, never the sender's memory.
"""

import json
import threading
import time
from dataclasses import dataclass, field


class Log:
    """Written by the sender's thread and by the run's: bytes, for Python's text files are not made for two threads."""

    def __init__(self, path):
        self.path = path
        self._file = open(path, "wb", buffering=1 << 16)
        self._lock = threading.Lock()

    def write(self, **line):
        with self._lock:
            self._file.write(json.dumps({"t": time.monotonic(), **line}).encode() + b"\n")

    def close(self):
        self._file.close()


#: A run with fewer acknowledgements proves nothing.
LEAST = 1000


@dataclass
class Verdict:
    acked: int = 0
    consumed: int = 0
    quarantined: int = 0
    lost: list = field(default_factory=list)
    forged: list = field(default_factory=list)
    duplicates: int = 0
    disordered: list = field(default_factory=list)
    unacknowledged: int = 0
    in_flight_at_strikes: list = field(default_factory=list)
    recoveries: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    void: list = field(default_factory=list)

    @property
    def passed(self):
        return not (self.lost or self.forged or self.disordered or self.problems or self.void)

    def reasons(self):
        said = []
        if self.void:
            said.append("void: " + "; ".join(self.void))
        if self.lost:
            said.append(f"{len(self.lost)} acknowledged and lost, such as {self.lost[:3]}")
        if self.forged:
            said.append(f"{len(self.forged)} forged, such as {self.forged[:3]}")
        if self.disordered:
            said.append(f"{len(self.disordered)} out of order, such as {self.disordered[:3]}")
        return said + self.problems


def read_log(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def judge(log_path, found, *, ordered=True, bounded=True, struck=True):
    """`found`: what consumers read, each `{id, sha256, key, seq, place, at}`; `place` is `main` or `quarantine`, and
    `at` sorts within `lane` (a partition, a queue, a table)."""
    verdict = Verdict()
    sent, acked, open_attempts, attempts = {}, set(), {}, []
    strikes = []
    for line in read_log(log_path):
        match line["outcome"]:
            case "sent":
                sent[line["id"]] = line["sha256"]
                open_attempts[line["id"], line["attempt"]] = line["t"]
            case "ack" | "nack" | "unknown" as outcome:
                if outcome == "ack":
                    acked.add(line["id"])
                began = open_attempts.pop((line["id"], line["attempt"]))
                attempts.append((began, line["t"], outcome))
            case "strike":
                strikes.append(line["t"])
            case "recovered":
                verdict.recoveries.append(line["seconds"])
            case "problem":
                verdict.problems.append(line["what"])
    verdict.acked = len(acked)
    verdict.unacknowledged = len(sent.keys() - acked)
    acks = sorted(done for _, done, outcome in attempts if outcome == "ack")
    if struck and len(acked) < LEAST:
        verdict.void.append(f"{len(acked)} acknowledgements are fewer than {LEAST}")
    verdict.in_flight_at_strikes = [sum(began <= at <= done for began, done, _ in attempts) for at in strikes]
    if not struck:
        pass
    elif not any(verdict.in_flight_at_strikes):
        verdict.void.append("no fault in mid-flight")
    elif not (acks and acks[0] < strikes[0] and acks[-1] > strikes[-1]):
        verdict.void.append("no acknowledgements on both sides of the fault")

    seen = {}
    for event in found:
        if sent.get(event["id"]) != event["sha256"] or event["id"] != event["attribute"]:
            verdict.forged.append(event["id"])
        seen[event["id"]] = seen.get(event["id"], 0) + 1
    verdict.consumed = sum(event["place"] == "main" for event in found)
    verdict.quarantined = len(found) - verdict.consumed
    verdict.lost = sorted(acked - seen.keys())
    verdict.duplicates = len(found) - len(seen)
    if bounded and verdict.duplicates > sum(verdict.in_flight_at_strikes):
        verdict.problems.append(
            f"{verdict.duplicates} duplicates are more than the {sum(verdict.in_flight_at_strikes)} attempts in flight when the fault struck"
        )
    if ordered:
        verdict.disordered = disorder(found)
    return verdict


def disorder(found):
    """Keys whose events first appear in another order than they were sent. A later copy changes nothing: a consumer
    that knows the id drops it."""
    lanes = {}
    for event in found:
        if event["place"] == "main" and event["key"] is not None:
            lanes.setdefault((event["lane"], event["key"]), []).append((event["at"], event["seq"]))
    wrong = []
    for (_, key), events in lanes.items():
        events.sort()
        last, seen = -1, set()
        for _, seq in events:
            if seq in seen:
                continue
            seen.add(seq)
            if seq < last:
                wrong.append(f"{key}: {seq} after {last}")
            last = max(last, seq)
    return wrong
