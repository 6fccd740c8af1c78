#!/usr/bin/env python3
"""Reads hooksluice's events from Kafka, verifies the platform's signature again, and recognises duplicates.

One JSON line an event goes to standard output. Exit code: 0, 1 if an event was rejected, 2 for usage or a missing
secret. The secrets come from the environment: see ../README.md.
"""

import argparse
import hashlib
import json
import signal
import sys
import time

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer, KafkaError, KafkaException

from verify import MissingSecret, verify

REMEMBERED = 100_000  # events; a duplicate that comes after this many others is not noticed


class RawData(JSONFormat):
    """The kit's JSON format, except that the data stays the bytes it came in: they are what was signed."""

    def read_data(self, body, datacontenttype):
        return body


def decode(message):
    """The event's attributes, and its data as the sender's bytes."""
    value, headers = message.value() or b"", dict(message.headers() or [])
    event = from_kafka(KafkaMessage(headers, message.key(), value), RawData())
    attributes, body = event.get_attributes(), event.get_data()
    if "ce_id" not in headers and not isinstance(body, bytes):
        # Structured mode: the data stands last in the envelope, as it was sent. The first `"data":` is the member
        # itself, because inside a JSON string its quotes would be escaped; verify() holds the slice to its SHA-256.
        body = value[value.index(b'"data":') + len(b'"data":') : value.rindex(b"}")]
    return attributes, body


def handle(message, remembered):
    """Prints the event's line. False if the event is not to be trusted."""
    line = dict.fromkeys(("id", "type", "source", "sha256", "verified", "duplicate"))
    try:
        attributes, body = decode(message)
        line |= {name: attributes[name] for name in ("id", "type", "source")}
        line["sha256"] = hashlib.sha256(body).hexdigest()
        line["verified"], note = verify(attributes, body)
    except MissingSecret:
        raise
    except Exception as error:  # whatever is wrong with one message, the next ones are still to be read
        line["verified"], note = False, f"{type(error).__name__}: {error}"
    if line["verified"] is False:
        # Not remembered: a forgery must not make the genuine event look like its duplicate. In earnest use, keep it
        # in a dead-letter topic of yours.
        at = f"{message.topic()}[{message.partition()}]@{message.offset()}"
        print(f"rejected {at}: {note}", file=sys.stderr)
    else:
        # An id that the signature does not cover may have been put on other bytes: then both together name the event.
        covered = attributes.get("idsigned") == "true"
        key = (line["source"], line["id"], line["verified"], None if covered else line["sha256"])
        line["duplicate"] = key in remembered
        # Your work on `body` goes here, unless it is a duplicate: before the id is remembered and the offset stored.
        remembered[key] = True
        if len(remembered) > REMEMBERED:
            del remembered[next(iter(remembered))]  # a dict keeps the order of insertion: this is the oldest
    print(json.dumps(line | ({"note": note} if note else {})), flush=True)
    return line["verified"] is not False


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("topics", nargs="+")
    options.add_argument("--bootstrap-servers", default="127.0.0.1:9092")
    options.add_argument("--group", default="hooksluice-example-python")
    options.add_argument("--max", type=int, help="stop after this many events")
    options.add_argument("--idle", type=float, metavar="SECONDS", help="stop when none came for so long")
    args = options.parse_args()

    stopping = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.append(True))

    # At least once: an offset is stored only after its event was handled; stored offsets are committed in the background
    # and on close. After a crash the last events come again. The memory of ids lives only as long as this process: where
    # doing the work twice would hurt, keep the id beside its result, in one transaction.
    consumer = Consumer({
        "bootstrap.servers": args.bootstrap_servers,  # security.protocol, sasl.* and the like go beside it
        "group.id": args.group,
        "auto.offset.reset": "earliest",
        "enable.auto.offset.store": False,
    })
    consumer.subscribe(args.topics)
    remembered, seen, rejected, last = {}, 0, 0, time.monotonic()
    try:
        while not stopping and seen != args.max:
            message = consumer.poll(0.2)
            if message is None:
                if args.idle is not None and time.monotonic() - last > args.idle:
                    break
                continue
            if message.error():  # such as a topic that is not there yet; librdkafka goes on by itself
                print("error:", message.error(), file=sys.stderr)
                continue
            rejected += not handle(message, remembered)
            seen, last = seen + 1, time.monotonic()
            try:
                consumer.store_offsets(message=message)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._STATE:  # the partition moved to another member, who reads it again
                    raise
    except MissingSecret as error:  # nothing of this event is stored: it is read again once the secret is there
        print("error:", error, file=sys.stderr)
        return 2
    finally:
        consumer.close()
    return 1 if rejected else 0


if __name__ == "__main__":
    sys.exit(main())
