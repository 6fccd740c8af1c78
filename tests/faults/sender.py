"""A sender as platforms are: many connections, signed deliveries, and the same bytes again until they are taken.

Each connection owns one key and sends its events one after the other, so that the order of a key is defined. Runs in a
thread of its own; knows nothing of the gateway's code.
"""

import asyncio
import hashlib
import hmac
import json
import os
import socket
import struct
import threading
import time

SECRET = b"ledger-secret"
ANSWER_TIMEOUT = 10.0
#: Pauses between attempts: a platform waits minutes, a test cannot.
RETRY = (0.05, 1.0)


class Sender:
    def __init__(self, url, log, *, connections=64, tag="e", pad=300, ssl=None, rude=0.0, churn=0.0, large=None):
        """`urls`: `(host, port)` of each replica; a connection goes to the next one when its own refuses. `rude`: share of
        deliveries whose first attempt is cut off by the client. `churn`: share of answers after which the connection is
        closed. `large`: `(every, bytes)`: every so many events is
        so large."""
        self.urls = url if isinstance(url, list) else [url]
        self.path = "/in/ledger"
        self.log = log
        self.connections = connections
        self.tag = tag
        self.pad = pad
        self.ssl = ssl
        self.rude = rude
        self.churn = churn
        self.large = large
        self.acks = self.nacks = self.unknowns = self.in_flight = 0
        self.statuses = {}
        self.problems = []
        self._rate = None
        self._next = 0.0
        self._stop = False
        self._hold = False
        self._give_up = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def rate(self, events_a_second):
        """New events in all, `None` for as fast as it goes."""
        self._rate = events_a_second
        self._next = time.monotonic()

    def hold(self, hold=True):
        """No new events; attempts under way go on."""
        self._hold = hold

    def finish(self, timeout):
        """No new events; what is not yet acknowledged is tried until `timeout`."""
        self._give_up = time.monotonic() + timeout
        self._stop = True
        self._thread.join(timeout + ANSWER_TIMEOUT + 5)
        if self._thread.is_alive():
            raise RuntimeError("the sender does not end")

    # Everything below runs in the sender's thread.

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._all())

    async def _all(self):
        self._seq = 0
        await asyncio.gather(*(self._connection(n) for n in range(self.connections)))

    async def _connection(self, n):
        connection = Connection(self, n)
        key, seq = f"{self.tag}-k{n}", 0
        while not self._stop:
            if self._hold:
                await asyncio.sleep(0.02)
                continue
            if self._rate is not None:
                # One shared clock of slots: however many connections are stuck, the rest keep the rate.
                now = time.monotonic()
                self._next = max(self._next, now - 0.5) + 1 / self._rate
                if self._next > now:
                    await asyncio.sleep(min(self._next - now, 1.0))
                if self._stop or self._hold:
                    continue
            await self._deliver(connection, key, seq)
            seq += 1
        connection.drop()

    async def _deliver(self, connection, key, seq):
        id = f"{key}-{seq}"
        size = self.pad
        if self.large and seq % self.large[0] == self.large[0] - 1:
            size = self.large[1]
        body = body_of(id, key, seq, size)
        digest = hashlib.sha256(body).hexdigest()
        attempt, pause = 0, RETRY[0]
        while True:
            attempt += 1
            self.log.write(id=id, seq=seq, key=key, sha256=digest, attempt=attempt, outcome="sent")
            self.in_flight += 1
            try:
                if self.rude and attempt == 1 and chance(self.rude):
                    outcome = await connection.cut_off(body)
                else:
                    outcome = await connection.post(body, id)
            finally:
                self.in_flight -= 1
            self.log.write(id=id, seq=seq, key=key, sha256=digest, attempt=attempt, outcome=outcome)
            if outcome == "ack":
                self.acks += 1
                return
            if outcome == "nack":
                self.nacks += 1
            else:
                self.unknowns += 1
            if self._give_up and time.monotonic() > self._give_up:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY[1])


class Connection:
    def __init__(self, sender, n):
        self.sender = sender
        self.at = n
        self.reader = self.writer = None

    def drop(self):
        if self.writer:
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def open(self):
        if self.writer is None:
            host, port = self.sender.urls[self.at % len(self.sender.urls)]
            async with asyncio.timeout(5):
                self.reader, self.writer = await asyncio.open_connection(host, port, ssl=self.sender.ssl)

    def head(self, body):
        return (
            f"POST {self.sender.path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
            f"x-signature: {sign(body)}\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode()

    async def post(self, body, id):
        try:
            await self.open()
            self.writer.write(self.head(body) + body)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                head = await self.reader.readuntil(b"\r\n\r\n")
                status, headers = parse(head)
                length = int(headers.get("content-length", 0))
                if length:
                    await self.reader.readexactly(length)
        except (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError, ValueError):
            self.drop()
            self.at += 1
            return "unknown"
        if headers.get("connection", "").lower() == "close" or (self.sender.churn and chance(self.sender.churn)):
            self.drop()
        sender = self.sender
        sender.statuses[status] = sender.statuses.get(status, 0) + 1
        if not 200 <= status < 300:
            return "nack"
        if headers.get("hooksluice-event-id") != id:
            sender.problems.append(f"{id} was acknowledged as {headers.get('hooksluice-event-id')}")
        return "ack"

    async def cut_off(self, body):
        """Resets the connection: within the body, or after it, before the answer is read."""
        try:
            self.drop()
            await self.open()
            whole = self.head(body) + body
            part = len(whole) - len(body) // 2 if os.urandom(1)[0] & 1 else len(whole)
            self.writer.write(whole[:part])
            await self.writer.drain()
            await asyncio.sleep(os.urandom(1)[0] / 25_600)
            raw = self.writer.get_extra_info("socket")
            # Zero seconds of lingering: closing sends a reset.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (OSError, TimeoutError):
            pass
        self.drop()
        return "unknown"


def chance(share):
    return os.urandom(1)[0] < share * 256


def body_of(id, key, seq, size):
    return json.dumps({"id": id, "type": "ledger.entry", "key": key, "seq": seq, "pad": "x" * size}).encode()


def sign(body):
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()


def parse(head):
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ", 2)[1])
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return status, headers
