"""Runs faults, prints a table, writes the results. `scripts/faults` is the way in.

    main.py short | all | planted | list | table | NAME...   [--long] [--size ACKS]
"""

import argparse
import json
import os
import sys
import time
import traceback

import at_gateway  # noqa: F401: registers its faults
import at_journal  # noqa: F401
import at_kafka  # noqa: F401
import at_order  # noqa: F401
import at_rabbitmq  # noqa: F401
import brokers
import gateway
import planted
import processes
from stage import FAULTS, Run


class Brokers:
    """Started when first asked for."""

    def __init__(self):
        self._kafka, self._rabbitmq = {}, None

    def kafka(self, nodes):
        if nodes not in self._kafka:
            # Six brokers at once would be too many for a small machine.
            for other in self._kafka.values():
                for process in other.processes:
                    process.stop()
            self._kafka = {nodes: brokers.Kafka(nodes)}
        return self._kafka[nodes]

    def rabbitmq(self):
        if not self._rabbitmq:
            self._rabbitmq = brokers.RabbitMq()
        return self._rabbitmq


def carry_out(fault, size, stage, long):
    began = time.monotonic()
    run = Run(fault, size, stage, long)
    try:
        run.begin()
        fault.run(run)
        verdict = run.finish()
        failure = None
    except Exception:  # noqa: BLE001: one run that breaks must not end the others
        failure = traceback.format_exc()
        verdict = None
        run.give_up()
    result = {
        "fault": fault.name,
        "on": fault.on,
        "says": fault.says,
        "dose": dose(run.doses),
        "seconds": round(time.monotonic() - began, 1),
        "passed": bool(verdict and verdict.passed),
    }
    if verdict:
        result |= {
            "acked": verdict.acked,
            "lost": len(verdict.lost),
            "forged": len(verdict.forged),
            "disordered": len(verdict.disordered),
            "duplicates": verdict.duplicates,
            "in_flight_at_strikes": sum(verdict.in_flight_at_strikes),
            "quarantined": verdict.quarantined,
            "unacknowledged": verdict.unacknowledged,
            "recovery": round(max(verdict.recoveries), 2) if verdict.recoveries else None,
            "statuses": run.sender.statuses,
            "unknown": run.sender.unknowns,
            "reasons": verdict.reasons(),
        }
    else:
        result["reasons"] = [failure]
    return result


def catch_planted(names):
    """Every planted defect must fail its run, for its reason."""
    gateway.BINARY = planted.build()
    known = {fault.name: fault for fault in FAULTS}
    results, stage = [], Brokers()
    for defect, instrument, says in planted.DEFECTS:
        if names and defect not in names:
            continue
        os.environ["HOOKSLUICE_PLANTED"] = defect
        result = carry_out(known[instrument], 1500, stage, long=False)
        caught = any(says in reason for reason in result["reasons"])
        results.append({"defect": defect, "instrument": instrument, "caught": caught, "reasons": result["reasons"]})
        print(f"{defect:28} {instrument:34} {'caught' if caught else 'NOT CAUGHT'}", flush=True)
        for reason in result["reasons"]:
            print(f"    {reason}", flush=True)
    with open(processes.RUN / "planted.json", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    return 0 if all(result["caught"] for result in results) else 1


def dose(doses):
    """What was done, and how often."""
    counted = {what: doses.count(what) for what in doses}
    return ", ".join(what if times == 1 else f"{times} × {what}" for what, times in counted.items())


COLUMNS = [
    ("fault", "fault", 28), ("dose", "dose", 44), ("acked", "acked", 8), ("lost", "lost", 5), ("forged", "forged", 7),
    ("duplicates", "dups", 6), ("recovery", "recovery s", 11), ("seconds", "took s", 7),
]  # fmt: skip


def show(result):
    cells = [f"{'' if result.get(key) is None else result[key]!s:{'<' if width > 20 else '>'}{width}}" for key, _, width in COLUMNS]
    print(" ".join(cells), "ok" if result["passed"] else "FAILED", flush=True)
    for reason in result["reasons"]:
        print(f"    {reason}", flush=True)


RESULTS = processes.RUN / "results.json"


def kept():
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(result):
    """The last result of each fault: a long run may be made in parts."""
    RESULTS.write_text(json.dumps(kept() | {result["fault"]: result}, indent=1))


def table():
    """The results as the rows of docs/reliability.md."""
    results = [kept()[fault.name] for fault in FAULTS if fault.name in kept()]
    for result in results:
        cells = [f"`{result['fault']}`", result["says"], result["dose"]]
        cells += ["" if result.get(key) is None else f"{result[key]:,}" for key in ("acked", "lost", "forged", "duplicates", "recovery")]
        print("| " + " | ".join([*cells, "" if result["passed"] else "**failed**"]) + " |")
    print(f"\n{sum(result.get('acked', 0) for result in results):,} acknowledged in {len(results)} runs")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+")
    parser.add_argument("--size", type=int, help="acknowledgements around each fault")
    parser.add_argument("--long", action="store_true", help="the long run's doses")
    options = parser.parse_args()
    if options.names == ["list"]:
        for fault in FAULTS:
            print(f"{fault.name:30} {'short' if fault.short else '':6} {fault.says}")
        return 0
    processes.RUN.mkdir(parents=True, exist_ok=True)
    if options.names[0] == "planted":
        return catch_planted(options.names[1:])
    if options.names == ["table"]:
        table()
        return 0
    long = options.names == ["all"] or options.long
    if options.names == ["short"]:
        chosen = [fault for fault in FAULTS if fault.short]
    elif options.names == ["all"]:
        chosen = list(FAULTS)
    else:
        unknown = set(options.names) - {fault.name for fault in FAULTS}
        if unknown:
            parser.error(f"no such fault: {', '.join(sorted(unknown))}; `list` names them")
        chosen = [fault for fault in FAULTS if fault.name in options.names]
    if os.geteuid() != 0 and options.names in (["short"], ["all"]):
        for fault in [fault for fault in chosen if fault.root]:
            print(f"left out, for it needs root: {fault.name}", flush=True)
        chosen = [fault for fault in chosen if not fault.root]
    size = options.size or (5000 if long else 1500)

    results, stage, began = [], Brokers(), time.monotonic()
    print(" ".join(f"{title:{'<' if width > 20 else '>'}{width}}" for _, title, width in COLUMNS), flush=True)
    # A broker is started once: what concerns it runs in a row.
    for fault in sorted(chosen, key=lambda fault: ["journal", "rabbitmq", "kafka", "kafka-3"].index(fault.on)):
        results.append(carry_out(fault, size, stage, long))
        show(results[-1])
        keep(results[-1])
    acked = sum(result.get("acked", 0) for result in results)
    failed = [result["fault"] for result in results if not result["passed"]]
    print(f"{acked} acknowledged in all, {len(results)} runs, {time.monotonic() - began:.0f} s; " + (f"FAILED: {', '.join(failed)}" if failed else "nothing lost"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
