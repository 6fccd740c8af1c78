"""Consumes a Kafka topic from its beginning, apart from the gateway's own client library settings.

    kafka_dump.py <bootstrap servers> <topic> <expected> [idle seconds]

Prints one JSON line a message: partition, offset, key, headers, length and SHA-256 of the value. Ends when <expected>
messages are read and no more come for a moment, or when nothing came for the idle time (default 20 s).
A topic that does not exist has no messages.
"""

import hashlib
import json
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

servers, topic, expected = sys.argv[1], sys.argv[2], int(sys.argv[3])
idle = float(sys.argv[4]) if len(sys.argv) > 4 else 20.0

consumer = Consumer({
    "bootstrap.servers": servers,
    # Assigned by hand: no group is joined.
    "group.id": "kafka_dump",
    "enable.auto.commit": False,
    "allow.auto.create.topics": False,
    "auto.offset.reset": "earliest",
})
partitions = consumer.list_topics(topic, timeout=20).topics[topic]
if partitions.error is None:
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions.partitions])
    read, quiet_since = 0, time.monotonic()
    while True:
        message = consumer.poll(0.5)
        if message is None:
            quiet = time.monotonic() - quiet_since
            if quiet > idle or (read >= expected and quiet > 2):
                break
            continue
        if message.error():
            sys.exit(f"{topic}: {message.error()}")
        read, quiet_since = read + 1, time.monotonic()
        value = message.value() or b""
        print(json.dumps({
            "partition": message.partition(),
            "offset": message.offset(),
            "key": message.key().decode() if message.key() is not None else None,
            "headers": {name: content.decode() for name, content in message.headers() or []},
            "length": len(value),
            "sha256": hashlib.sha256(value).hexdigest(),
        }))
consumer.close()
