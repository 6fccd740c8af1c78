"""Faults of RabbitMQ, and of the way to it."""

from stage import fault


@fault("rabbitmq-killed", "rabbitmq", "broker killed and restarted")
def killed(run):
    run.load(0.3)
    run.strike("kill -9 of the broker")
    run.rabbitmq.process.kill()
    # Long enough for every pause between attempts to be at its longest.
    run.during(25 if run.long else 2)
    back(run)


@fault("rabbitmq-frozen", "rabbitmq", "broker frozen (SIGSTOP)", short=True)
def frozen(run):
    run.load(0.3)
    seconds = 60 if run.long else 10
    run.strike(f"frozen for {seconds} s")
    run.rabbitmq.process.freeze()
    run.during(seconds)
    run.rabbitmq.process.thaw()
    run.rabbitmq.answers(run.topic)
    run.heal()
    run.load(0.3)


@fault("rabbitmq-frozen-killed", "rabbitmq", "broker frozen, then killed with all that it had not read")
def frozen_killed(run):
    run.load(0.3)
    run.strike("frozen for 4 s, then killed")
    run.rabbitmq.process.freeze()
    run.during(4)
    run.rabbitmq.process.kill()
    back(run)


def back(run):
    run.sender.rate(run.size * 0.05)
    run.rabbitmq.start()
    run.rabbitmq.answers(run.topic)
    run.heal()
    run.load(0.3)


def link(mode, seconds):
    def carry_out(run):
        for _ in range(3 if run.long else 1):
            run.load(0.2)
            run.strike(f"{mode} for {seconds} s")
            run.rabbitmq.proxy.set(mode)
            run.during(seconds, 0.1)
            run.rabbitmq.proxy.set("open")
            run.heal()
        run.load(0.3)

    return carry_out


fault("rabbitmq-cut", "rabbitmq", "connection cut and refused", short=True, listener="proxied")(link("cut", 3))
fault("rabbitmq-half-open", "rabbitmq", "half-open: what is sent arrives, no answer comes back", listener="proxied")(link("mute", 6))
fault("rabbitmq-slow", "rabbitmq", "slow link: 50 kB/s, 150 ms late", listener="proxied")(link("slow", 8))


@fault("rabbitmq-memory-alarm", "rabbitmq", "memory alarm: the broker blocks the connection")
def memory_alarm(run):
    run.load(0.3)
    seconds = 20 if run.long else 6
    run.strike(f"memory alarm for {seconds} s")
    run.sender.rate(run.size * 0.05)
    run.rabbitmq.ctl("set_vm_memory_high_watermark", "0.0001")
    try:
        run.during(seconds)
    finally:
        run.rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    run.heal()
    run.load(0.3)


@fault("rabbitmq-queue-full", "rabbitmq", "queue full, with reject-publish")
def queue_full(run):
    run.load(0.3)
    seconds = 15 if run.long else 5
    run.strike(f"queue full for {seconds} s")
    limit = {"pattern": f"^{run.topic}$", "definition": {"max-length": 10}, "apply-to": "queues"}
    run.rabbitmq.api("PUT", "policies/%2f/full", limit)
    run.during(seconds)
    run.rabbitmq.api("DELETE", "policies/%2f/full")
    run.heal()
    run.load(0.3)


@fault("rabbitmq-unbound", "rabbitmq", "binding missing: every message is unroutable", short=True)
def unbound(run):
    run.load(0.3)
    seconds = 15 if run.long else 4
    run.strike(f"no queue bound for {seconds} s")
    run.rabbitmq.channel(lambda channel: channel.queue_unbind(run.topic, run.topic, "#"))
    run.during(seconds)
    run.rabbitmq.channel(lambda channel: channel.queue_bind(run.topic, run.topic, "#"))
    run.heal()
    run.load(0.3)


@fault("rabbitmq-no-exchange", "rabbitmq", "exchange missing")
def no_exchange(run):
    run.load(0.3)
    seconds = 15 if run.long else 5
    run.strike(f"no exchange for {seconds} s")
    run.rabbitmq.channel(lambda channel: channel.exchange_delete(run.topic))
    run.during(seconds)
    run.rabbitmq.topology(run.topic)
    run.heal()
    run.load(0.3)


@fault("rabbitmq-write-revoked", "rabbitmq", "right to write taken away", user="gw")
def write_revoked(run):
    """The broker remembers a right as long as the channel lives: its connections are closed, too."""
    run.load(0.3)
    seconds = 15 if run.long else 5
    run.strike(f"right to write taken away for {seconds} s")
    run.rabbitmq.user("gw", write=False)
    run.rabbitmq.close_connections("gw")
    run.during(seconds)
    run.rabbitmq.user("gw")
    run.heal()
    run.load(0.3)


@fault("rabbitmq-too-large", "rabbitmq", "messages larger than the broker takes")
def too_large(run):
    run.load(0.3)
    run.strike("1 in 25 messages of 100 kB, broker takes 20 kB")
    limit = "application:set_env(rabbit, max_message_size, {0}), persistent_term:put(max_message_size, {0})."
    run.rabbitmq.ctl("eval", limit.format(20_000))
    try:
        run.sender.large = (25, 100_000)
        run.load(0.5)
        run.sender.large = None
        run.heal()
        run.load(0.2)
    finally:
        run.rabbitmq.ctl("eval", limit.format(134_217_728))
