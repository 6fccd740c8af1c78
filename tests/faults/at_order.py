"""The order "fsync or confirm, then 2xx", read from the system calls of a running gateway.

strace stops every thread at every call, one at a time, so the lines of its log are an order in which things happened: a
call ended where its line stands, and began there too unless an `<unfinished ...>` line said so before. For each answer
that acknowledges an event there must stand before it:

- journal: the first write of the event's id into the WAL, then a sync of the WAL that began after it and returned 0;
- Kafka: a produce request with the id (and `acks=all`), then the whole response to that request;
- RabbitMQ: the id's publish on a channel with confirms, then the acknowledgement of its delivery tag.
"""

import re
import struct

import proxy
from stage import fault

CALLS = "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync"


class Call:
    def __init__(self, name, begun, ended, text, result):
        self.name, self.begun, self.ended, self.result = name, begun, ended, result
        file = (re.search(r"\(\d+<(.*?)>\s*[,)]", text) or [None, ""])[1]
        self.file = re.sub(r"\\x([0-9a-f]{2})", lambda byte: chr(int(byte[1], 16)), file)
        self.data = b"".join(bytes.fromhex(part.replace("\\x", "")) for part in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', text))
        if self.name not in ("fsync", "fdatasync"):
            self.data = self.data[: max(self.result, 0)]


def calls(path):
    """Every call that ended, in the order of its end."""
    open_calls = {}
    with open(path, encoding="latin-1") as lines:
        for at, line in enumerate(lines):
            thread, _, text = line.strip().partition(" ")
            text = text.lstrip()
            begun = at
            if text.endswith("<unfinished ...>"):
                open_calls[thread] = (at, text.removesuffix("<unfinished ...>"))
                continue
            if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
                if thread not in open_calls:
                    continue
                begun, before = open_calls.pop(thread)
                text = before + resumed[1]
            result = re.search(r"\)\s+= (-?\d+)", text)
            name = text.partition("(")[0]
            if result and name in CALLS.split(","):
                yield Call(name, begun, at, text, int(result[1]))


def acknowledged(trace):
    """Where the answer to each id began to be written."""
    answers = {}
    for call in trace:
        if call.data.startswith(b"HTTP/1.1 2") and (found := re.search(rb"hooksluice-event-id: (\S+)", call.data)):
            answers[found[1]] = call.begun
    return answers


def journal_proof(trace):
    """When each id was synced."""
    wal = [call for call in trace if call.file.endswith("-wal")]
    written, synced = {}, {}
    waiting = []
    for call in wal:
        if call.name.startswith("pwrite"):
            for id in set(re.findall(rb"e-k\d+-\d+(?!\d)", call.data)):
                if id not in written:
                    written[id] = call.ended
                    waiting.append(id)
        elif call.name in ("fsync", "fdatasync") and call.result == 0:
            for id in [id for id in waiting if written[id] < call.begun]:
                synced[id] = call.ended
                waiting.remove(id)
    return synced


class Stream:
    """One direction of one connection, with the place in the log where each byte had been moved."""

    def __init__(self):
        self.data, self.marks = bytearray(), []

    def add(self, call):
        self.data += call.data
        self.marks.append((len(self.data), call.ended))

    def moved(self, length):
        return next(at for total, at in self.marks if total >= length)


def streams(trace, port):
    """What went to, and came from, this port, by connection."""
    out, back = {}, {}
    for call in trace:
        if call.file.startswith("TCP:") and call.file.endswith(f":{port}]"):
            side = out if call.name in ("write", "writev", "sendto", "sendmsg") else back
            side.setdefault(call.file, Stream()).add(call)
    return {name: (stream, back.get(name, Stream())) for name, stream in out.items()}


def kafka_frames(stream):
    at = 0
    while at + 4 <= len(stream.data):
        (length,) = struct.unpack_from(">i", stream.data, at)
        if at + 4 + length > len(stream.data):
            return
        yield bytes(stream.data[at + 4 : at + 4 + length]), stream.moved(at + 4 + length)
        at += 4 + length


def kafka_proof(trace, port, problem):
    proof = {}
    for requests, responses in streams(trace, port).values():
        answered = {}
        for frame, at in kafka_frames(responses):
            answered.setdefault(struct.unpack_from(">i", frame)[0], at)
        for frame, _ in kafka_frames(requests):
            key, version, correlation, client = struct.unpack_from(">hhih", frame)
            if key != 0:
                continue
            # After the client's name: from version 9 on a byte of tags and a byte of no transaction, before it two bytes.
            (acks,) = struct.unpack_from(">h", frame, 10 + max(client, 0) + 2)
            if acks != -1:
                problem(f"a produce request (version {version}) asked for acks={acks}")
            for id in set(re.findall(rb"e-k\d+-\d+(?!\d)", frame)):
                if correlation in answered:
                    proof.setdefault(id, answered[correlation])
    return proof


def amqp_frames(stream, at):
    while at + 7 <= len(stream.data):
        kind, channel, length = struct.unpack_from(">BHI", stream.data, at)
        end = at + 7 + length + 1
        if end > len(stream.data):
            return
        yield kind, channel, bytes(stream.data[at + 7 : end - 1]), stream.moved(end)
        at = end


def rabbitmq_proof(trace, port):
    proof = {}
    for sent, received in streams(trace, port).values():
        tags, ids = {}, {}
        for kind, channel, payload, _ in amqp_frames(sent, 8):
            method = struct.unpack_from(">HH", payload) if kind == 1 else None
            if method == (85, 10):  # confirm.select
                tags[channel] = 0
            elif method == (60, 40) and channel in tags:  # basic.publish
                tags[channel] += 1
            elif kind == 2 and channel in tags and (id := re.search(rb"e-k\d+-\d+(?!\d)", payload)):
                ids[channel, tags[channel]] = id[0]
        acked = dict.fromkeys(tags, 0)
        for kind, channel, payload, at in amqp_frames(received, 0):
            if kind == 1 and struct.unpack_from(">HH", payload) == (60, 80):  # basic.ack
                tag, multiple = struct.unpack_from(">QB", payload, 4)
                for one in range(acked.get(channel, 0) + 1 if multiple & 1 else tag, tag + 1):
                    if (channel, one) in ids:
                        proof.setdefault(ids[channel, one], at)
                acked[channel] = max(acked.get(channel, 0), tag) if multiple & 1 else acked.get(channel, 0)
    return proof


def trace_it(run):
    # As a grandchild: the process that is started is the gateway itself.
    run.gateway.wrapper = ["strace", "-D", "-f", "-q", "-yy", "-xx", "-s", "400000", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", run.dir / "calls"]


def check(run):
    target = 2000 if run.long else 400
    proxy.wait_until(f"{target} are acknowledged", lambda: run.sender.acks >= target, 120)
    run.sender.finish(20)
    run.gateway.process.stop()
    trace = list(calls(run.dir / "calls"))
    answers = acknowledged(trace)
    match run.fault.on:
        case "journal":
            proof = {}
        case "kafka":
            proof = kafka_proof(trace, run.kafka.ports[0]["plain"], run.problem)
        case "rabbitmq":
            proof = rabbitmq_proof(trace, run.rabbitmq.amqp)
    # Before its first connection stands, a gateway spools: that is proved by the journal's sync.
    synced = journal_proof(trace)
    if len(answers) < target:
        run.problem(f"only {len(answers)} answers are in the log of system calls")
    by_broker = sum(proof.get(id, at) < at for id, at in answers.items())
    if run.fault.on != "journal" and by_broker < len(answers) / 4:
        run.problem(f"only {by_broker} of {len(answers)} answers came after the broker's word")
    early = [id.decode() for id, at in answers.items() if min(proof.get(id, at), synced.get(id, at)) >= at]
    if early:
        run.problem(f"{len(early)} of {len(answers)} answers were written before the proof that the event is durable, such as {early[:3]}")
    run.doses.append(f"{len(answers)} answers traced")


for on, what in (("journal", "fsync"), ("kafka", "the broker's response"), ("rabbitmq", "the broker's confirm")):
    fault(f"{on}-order", on, f"{what} comes before the 2xx, by the system calls", short=True, struck=False, before=trace_it, connections=16)(check)
