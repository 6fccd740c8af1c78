"""Faults of Kafka, as the gateway meets them."""

import time

from stage import fault


@fault("kafka-killed", "kafka", "broker killed and restarted", short=True)
def killed(run):
    run.load(0.3)
    run.strike("kill -9 of the broker")
    run.kafka.processes[0].kill()
    run.during(5 if run.long else 2)
    run.kafka.start(wait=False)
    run.sender.rate(run.size * 0.05)
    run.kafka.answers(run.topic)
    run.heal()
    run.load(0.3)


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


@fault("kafka-frozen-killed", "kafka", "broker frozen, then killed with what it had not read", short=False)
def frozen_killed(run):
    run.load(0.3)
    run.strike("frozen for 4 s, then killed")
    run.kafka.processes[0].freeze()
    run.during(4)
    run.kafka.processes[0].kill()
    run.kafka.start(wait=False)
    run.sender.rate(run.size * 0.05)
    run.kafka.answers(run.topic)
    run.heal()
    run.load(0.3)
