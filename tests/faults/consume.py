"""The independent consumer: a process of its own that reads a destination from its start and prints one JSON line for
each event. It shares no code with the gateway.

    consume.py kafka BOOTSTRAP TOPIC... | rabbitmq PORT QUEUE... | journal FILE
"""

import hashlib
import json
import sqlite3
import sys


def line(body, attribute, place, lane, at):
    try:
        value = json.loads(body)
    except ValueError:
        value = {}
    print(
        json.dumps(
            {
                "id": value.get("id"),
                "attribute": attribute,
                "key": value.get("key"),
                "seq": value.get("seq"),
                "sha256": hashlib.sha256(body).hexdigest(),
                "place": place,
                "lane": lane,
                "at": at,
            }
        )
    )


def kafka(bootstrap, *topics):
    import confluent_kafka as client

    consumer = client.Consumer({"bootstrap.servers": bootstrap, "group.id": "ledger", "enable.auto.commit": False, "enable.partition.eof": True})
    known = consumer.list_topics(timeout=10).topics
    parts = [client.TopicPartition(topic, p, client.OFFSET_BEGINNING) for topic in topics if topic in known for p in known[topic].partitions]
    left = {(part.topic, part.partition) for part in parts}
    consumer.assign(parts)
    while left:
        message = consumer.poll(20)
        if message is None:
            sys.exit("Kafka has nothing more to say, and not everything was read")
        if message.error():
            if message.error().code() != client.KafkaError._PARTITION_EOF:
                sys.exit(str(message.error()))
            left.discard((message.topic(), message.partition()))
            continue
        headers = dict(message.headers() or [])
        place = "quarantine" if message.topic().startswith("dlq.") else "main"
        line(message.value(), headers.get("ce_id", b"").decode(), place, f"{message.topic()}/{message.partition()}", message.offset())
    consumer.close()


def rabbitmq(port, *queues):
    import pika

    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(port), credentials=pika.PlainCredentials("guest", "guest")))
    channel = connection.channel()
    for queue in queues:
        left = channel.queue_declare(queue, passive=True).method.message_count
        if not left:
            continue
        # Not acknowledged: what is read stays there.
        for at, (method, properties, body) in enumerate(channel.consume(queue, inactivity_timeout=20)):
            if method is None:
                sys.exit(f"{left} messages of {queue} did not come")
            place = "quarantine" if queue.startswith("dlq.") else "main"
            line(body, (properties.headers or {}).get("cloudEvents:id"), place, queue, at)
            left -= 1
            if not left:
                break
        channel.cancel()
    connection.close()


def journal(path):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for table, place in (("events", "main"), ("quarantine", "quarantine")):
        for seq, id, digest, data in connection.execute(f"SELECT seq, id, attributes ->> '$.bodysha256', data FROM {table} ORDER BY seq"):
            if hashlib.sha256(data).hexdigest() != digest:
                id = f"{id} (its digest is another)"
            line(data, id, place, table, seq)
    (waiting,) = connection.execute("SELECT count(*) FROM spool").fetchone()
    if waiting:
        sys.exit(f"{waiting} events still wait in the spool")


if __name__ == "__main__":
    {"kafka": kafka, "rabbitmq": rabbitmq, "journal": journal}[sys.argv[1]](*sys.argv[2:])
