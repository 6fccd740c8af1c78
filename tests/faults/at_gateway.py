"""Faults of the gateway's own process and of its clients."""

import time

from stage import fault


def kills(run):
    times = 100 if run.long else 5
    for n in range(times):
        run.load(0.9 / times)
        run.strike("kill -9 of the gateway")
        run.gateway.process.kill()
        run.gateway.start()
    run.heal()
    run.load(0.2)


for on in ("journal", "kafka", "rabbitmq"):
    fault(
        f"{on}-gateway-killed", on, "gateway killed (kill -9) and restarted", short=on == "journal", bounded=False,
        more="duplicates: { store: journal }",
    )(kills)  # fmt: skip
