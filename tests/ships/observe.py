"""Checks the dashboard and the alert rules against the metrics that hooksluice promises (metrics.txt).

observe.py DASHBOARD RULES: every metric and label they ask for exists, every panel has a title, a description and a
unit, and none lies on another. Prints a rules file made of the dashboard's queries, for promtool to parse.
"""

import json
import pathlib
import re
import sys

import yaml

# Labels that Prometheus itself adds.
TARGET_LABELS = {"instance", "job", "le", "__name__"}


def promised():
    metrics = {}
    for line in (pathlib.Path(__file__).parent / "metrics.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, kind, *labels = line.split()
            labels = set(labels[0].split(",")) if labels else set()
            series = [name + end for end in ("_bucket", "_sum", "_count")] if kind == "histogram" else [name]
            metrics.update(dict.fromkeys(series, labels | TARGET_LABELS))
    return metrics


def ask(expression, where, metrics, faults):
    used = re.findall(r"\bhooksluice_\w+", expression)
    known = set(TARGET_LABELS)
    for name in used:
        if name not in metrics:
            faults.append(f"{where}: there is no metric {name}")
        known |= metrics.get(name, set())
    for name, selector in re.findall(r"\b(hooksluice_\w+)\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", selector):
            if label not in metrics.get(name, {label}):
                faults.append(f"{where}: {name} has no label {label}")
    for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression):
        for label in filter(None, (part.strip() for part in group.split(","))):
            if label not in known:
                faults.append(f"{where}: nothing in the query has a label {label}")
    return used


def check_panels(dashboard, faults):
    taken = {}
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        faults.append("two panels have the same id")
    for panel in dashboard["panels"]:
        title, place = panel.get("title"), panel["gridPos"]
        if not title:
            faults.append(f"panel {panel['id']} has no title")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if x >= 24 or taken.setdefault((x, y), panel) is not panel:
                    faults.append(f"{title!r} lies on another panel or beyond the edge")
                    break
        if panel["type"] != "row":
            if not panel.get("description"):
                faults.append(f"{title!r} has no description")
            if not panel["fieldConfig"]["defaults"].get("unit"):
                faults.append(f"{title!r} has no unit")


def main(dashboard_path, rules_path):
    metrics, faults = promised(), []
    dashboard = json.loads(pathlib.Path(dashboard_path).read_text())
    check_panels(dashboard, faults)

    queries, shown = [], set()
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            shown.update(ask(target["expr"], f"panel {panel['title']!r}", metrics, faults))
            queries.append(target["expr"].replace("$__rate_interval", "1m").replace("$source", ".*"))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            ask(variable["query"]["query"], f"variable {variable['name']}", metrics, faults)
    for group in yaml.safe_load(pathlib.Path(rules_path).read_text())["groups"]:
        for rule in group["rules"]:
            ask(rule["expr"], rule["alert"], metrics, faults)

    for name in metrics:
        if name not in shown and not name.endswith(("_sum", "_count")):
            faults.append(f"the dashboard does not show {name}")
    if faults:
        sys.exit("\n".join(faults))
    rules = [{"record": f"panel:{n}", "expr": query} for n, query in enumerate(queries)]
    print(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))


main(*sys.argv[1:])
