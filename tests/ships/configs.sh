# shellcheck shell=bash
# shellcheck disable=SC2154  # work and here are the caller's
# Sourced by run: the config files that ship are taken by hooksluice itself.

hooksluice=${CARGO_TARGET_DIR:-target}/debug/hooksluice

# Secrets of the shape that each provider wants, where a config says they are.
mkdir -p "$work/secrets"
printf 'whsec_%s' "$(head -c 24 /dev/urandom | base64)" | tee "$work/secrets/stripe" "$work/secrets/local" >"$work/secrets/github"

takes() { # CONFIG
  [ -x "$hooksluice" ] || { echo "$hooksluice is not built: cargo build"; return 1; }
  sed -e "s|/run/secrets/[a-z]*/|$work/secrets/|" -e "s|/data/|$work/|" -e "s|/run/tls/tls.crt|$work/tls/server.pem|; s|/run/tls/tls.key|$work/tls/server.key|" "$1" >"$work/hooksluice.yaml"
  LOCAL_SECRET=$(cat "$work/secrets/local") GITHUB_SECRET=0123456789abcdef RABBITMQ_URL=amqp://rabbitmq/%2f "$hooksluice" check --config "$work/hooksluice.yaml"
}
it "hooksluice takes the compose stack's config" takes deploy/compose/hooksluice.yaml

chart_config() { # VALUES
  tests/brokers/certificates "$work/tls"
  manifest "$1" ConfigMap | jq -r '.data["hooksluice.yaml"]' >"$work/config.yaml"
  takes "$work/config.yaml"
}
for values in journal broker-only; do
  it "hooksluice takes the config that the chart renders with $values values" chart_config $values
done
