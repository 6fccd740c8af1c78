"""Faults of Kafka, and of the way to it."""

import time

import proxy
from stage import fault


@fault("kafka-killed", "kafka", "broker killed and restarted", short=True)
def killed(run):
    run.load(0.3)
    run.strike("kill -9 of the broker")
    run.kafka.processes[0].kill()
    # Long enough for every pause between attempts to be at its longest.
    run.during(25 if run.long else 2)
    back(run)


@fault("kafka-frozen", "kafka", "broker frozen (SIGSTOP)", short=True)
def frozen(run):
    run.load(0.3)
    seconds = 60 if run.long else 10
    run.strike(f"frozen for {seconds} s")
    run.kafka.processes[0].freeze()
    run.during(seconds)
    run.kafka.processes[0].thaw()
    run.kafka.answers(run.topic)
    run.heal()
    run.load(0.3)


@fault("kafka-fenced", "kafka", "broker frozen about as long as a request may take, again and again")
def fenced(run):
    """The cluster drops a frozen broker from its list, and the client drops what is not in the list while its own requests
    time out: a producer was once left without any broker for good."""
    times = 12 if run.long else 4
    for n in range(times):
        run.load(0.6 / times)
        run.strike("frozen for 9.7 to 10.4 s")
        run.kafka.processes[0].freeze()
        run.during(9.7 + 0.7 * n / times, 0.1)
        run.kafka.processes[0].thaw()
        run.sender.rate(run.size * 0.05)
        run.kafka.answers(run.topic)
        run.heal()
    run.load(0.3)


@fault("kafka-frozen-killed", "kafka", "broker frozen, then killed with all that it had not read")
def frozen_killed(run):
    run.load(0.3)
    run.strike("frozen for 4 s, then killed")
    run.kafka.processes[0].freeze()
    run.during(4)
    run.kafka.processes[0].kill()
    back(run)


def back(run):
    run.kafka.start(wait=False)
    run.sender.rate(run.size * 0.05)
    run.kafka.answers(run.topic)
    run.heal()
    run.load(0.3)


def link(mode, seconds):
    def carry_out(run):
        for _ in range(3 if run.long else 1):
            run.load(0.2)
            run.strike(f"{mode} for {seconds} s")
            run.kafka.proxy.set(mode)
            run.during(seconds, 0.1)
            run.kafka.proxy.set("open")
            run.heal()
        run.load(0.3)

    return carry_out


fault("kafka-cut", "kafka", "connection cut and refused", listener="proxied")(link("cut", 3))
fault("kafka-half-open", "kafka", "half-open: what is sent arrives, no answer comes back", listener="proxied")(link("mute", 6))
fault("kafka-slow", "kafka", "slow link: 50 kB/s, 150 ms late", listener="proxied")(link("slow", 8))


@fault(
    "kafka-not-enough-replicas", "kafka-3", "two of three brokers killed: NOT_ENOUGH_REPLICAS",
    topic={"min.insync.replicas": "2"},
)  # fmt: skip
def not_enough_replicas(run):
    run.load(0.3)
    run.strike("2 of 3 brokers killed")
    for n in (1, 2):
        run.kafka.processes[n].kill()
    run.during(10)
    for n in (1, 2):
        run.kafka.start(n, wait=False)
    run.sender.rate(run.size * 0.05)
    proxy.wait_until("two replicas are in sync", lambda: in_sync(run) >= 2, 120)
    run.heal()
    run.load(0.3)


def in_sync(run):
    partitions = run.kafka.admin.list_topics(timeout=2).topics[run.topic].partitions.values()
    return min(len(partition.isrs) for partition in partitions)


@fault("kafka-too-large", "kafka", "messages larger than the topic takes", topic={"max.message.bytes": "20000"})
def too_large(run):
    run.load(0.3)
    run.strike("1 in 25 messages of 100 kB, topic takes 20 kB")
    run.sender.large = (25, 100_000)
    run.load(0.5)
    run.sender.large = None
    run.heal()
    run.load(0.2)


@fault("kafka-write-revoked", "kafka", "right to write taken away", listener="sasl")
def write_revoked(run):
    run.load(0.3)
    seconds = 15 if run.long else 5
    run.strike(f"right to write taken away for {seconds} s")
    run.kafka.write_allowed(run.topic, False)
    run.during(seconds)
    run.kafka.write_allowed(run.topic, True)
    run.heal()
    run.load(0.3)


@fault("kafka-topic-deleted", "kafka", "topic deleted, and created again", listener="sasl")
def topic_deleted(run):
    """What lies in a deleted topic is gone, by the operator's will. So it is first closed to writers and read."""
    run.load(0.3)
    run.strike("topic deleted for 5 s")
    run.kafka.write_allowed(run.topic, False)
    run.during(2, 0.1)
    for event in run.consume(journals=False):
        run.extra_found.append({**event, "lane": "deleted " + event["lane"]})
    run.kafka.delete(run.topic)
    run.during(5, 0.2)
    run.kafka.write_allowed(run.topic, True)
    run.kafka.create(run.topic)
    run.heal()
    run.load(0.3)


@fault(
    "kafka-spool-full", "kafka", "broker killed for so long that the spool is full",
    journal=", spool: { max_bytes: 400KiB }",
)  # fmt: skip
def spool_full(run):
    run.load(0.3)
    run.strike("broker killed until the spool of 400 KiB refuses")
    run.kafka.processes[0].kill()
    refused = run.sender.nacks
    run.sender.rate(run.size)
    proxy.wait_until("the full spool refuses", lambda: run.sender.nacks > refused + 50, 60)
    time.sleep(1)
    back(run)
