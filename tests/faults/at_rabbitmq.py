"""Faults of RabbitMQ, as the gateway meets them."""

import time

from stage import fault


@fault("rabbitmq-killed", "rabbitmq", "broker killed and restarted", short=True)
def killed(run):
    run.load(0.3)
    run.strike("kill -9 of the broker")
    run.rabbitmq.process.kill()
    run.during(5 if run.long else 2)
    run.sender.rate(run.size * 0.05)
    run.rabbitmq.start()
    run.rabbitmq.answers(run.topic)
    run.heal()
    run.load(0.3)


@fault("rabbitmq-unbound", "rabbitmq", "binding missing: every message is unroutable", short=True)
def unbound(run):
    run.load(0.3)
    connection = run.rabbitmq.connect()
    channel = connection.channel()
    seconds = 10 if run.long else 4
    run.strike(f"no queue is bound for {seconds} s")
    channel.queue_unbind(run.topic, run.topic, "#")
    connection.close()
    run.during(seconds)
    connection = run.rabbitmq.connect()
    connection.channel().queue_bind(run.topic, run.topic, "#")
    connection.close()
    run.heal()
    run.load(0.3)
