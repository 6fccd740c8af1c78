# shellcheck shell=bash
# shellcheck disable=SC2154  # work and here are the caller's
# Sourced by run: Prometheus' config, alert rules and the dashboard.

dashboard=deploy/grafana/dashboards/hooksluice.json
alerts=deploy/prometheus/alerts.yml

it "Prometheus takes its config and the alert rules" promtool check config deploy/prometheus/prometheus.yml
it "each alert fires when it should, and none in a healthy hour" promtool test rules "$here"/alerts_test.yml
alerts_all_tested() {
  local name
  while read -r name; do
    grep -q "alertname=\"$name\"" "$here"/alerts_test.yml || { echo "$name is never seen firing"; return 1; }
  done < <(sed -n 's/.*- alert: //p' $alerts)
}
it "every alert has such a test" alerts_all_tested

promised() { # the definitions in the code, brought into the form of metrics.txt
  grep -oE '[A-Za-z]+\("hooksluice_[a-z_]+"(, "[a-z]+")*' src/telemetry/metrics.rs | tr -d '" ' |
    sed -E 's/^(.*)\(([^,]*),?(.*)$/\2 \1 \3/; s/ IntCounter(Vec)? / counter /; s/ (Int)?Gauge(Vec)? / gauge /; s/ Histogram(Vec)? / histogram /; s/ $//' |
    sort >"$work/defined"
  grep -v '^#' "$here"/metrics.txt | sort >"$work/promised"
  diff "$work/promised" "$work/defined"
}
it "the code defines the metrics that are promised, and no other" promised

it "dashboard and alerts ask only for metrics that exist, and every panel explains itself" python "$here"/observe.py $dashboard $alerts
queries() { python "$here"/observe.py $dashboard $alerts >"$work/dashboard-rules.yml" && promtool check rules "$work/dashboard-rules.yml"; }
it "Prometheus understands every query of the dashboard" queries

sed 's/hooksluice_spool_bytes/hooksluice_spool_byte/' $dashboard >"$work/dashboard.json"
it "a metric that does not exist is found" says "there is no metric hooksluice_spool_byte" python "$here"/observe.py "$work/dashboard.json" $alerts
sed 's/sum by (source, reason)/sum by (source, raisin)/' $dashboard >"$work/dashboard.json"
it "a label that does not exist is found" says "label raisin" python "$here"/observe.py "$work/dashboard.json" $alerts

provisioned() {
  python -c '
import json, sys, yaml
source = yaml.safe_load(open("deploy/grafana/provisioning/datasources/prometheus.yaml"))["datasources"][0]
variable = json.load(open(sys.argv[1]))["templating"]["list"][0]
assert variable["current"]["value"] == source["uid"] and variable["query"] == source["type"], (variable, source)' $dashboard
}
it "the dashboard's data source is the one that is provisioned" provisioned
