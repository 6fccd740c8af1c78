# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016  # work and here are the caller's; what stands in single quotes is meant
# Sourced by run: the container image and the compose stack.

it "hadolint has nothing to say about the Dockerfile" hadolint Dockerfile
sed 's/:nonroot$/:latest/' Dockerfile >"$work/Dockerfile"
it "hadolint reads the file (a tag that moves is told)" says DL3007 hadolint "$work/Dockerfile"
image_user() { tac Dockerfile | grep -m1 '^FROM' | grep -q ':nonroot$'; }
it "the image runs without root" image_user

# What .dockerignore lets in must be enough for Cargo to understand the package, and for the code to embed what it embeds.
build_context() {
  mkdir -p "$work/context"
  local path
  while read -r path; do
    path=${path#!}
    mkdir -p "$work/context/$(dirname "$path")"
    if [ -e "$path" ]; then cp -r "$path" "$work/context/$path"; fi
  done < <(grep '^!' .dockerignore)
  cargo metadata --offline --no-deps --format-version 1 --manifest-path "$work/context/Cargo.toml" | jq -e '[.packages[0].targets[].kind[]] | contains(["lib", "bin"])'
  cmp scripts/build-release "$work/context/scripts/build-release"
  while read -r path; do
    [ -e "$work/context/$path" ] || { echo "embedded, and not in the context: $path"; return 1; }
  done < <(grep -rhoE 'include_dir!\("\$CARGO_MANIFEST_DIR/[^"]+' src 2>/dev/null | sed 's|.*\$CARGO_MANIFEST_DIR/||')
}
it "the image's build context holds what the build reads" build_context

it "docker-compose.yml meets the compose specification" compose-go docker-compose.yml
sed -e 's|${STATE}|/state|' -e 's|${[A-Z_]*}|1|' tests/brokers/compose.yaml >"$work/brokers.yaml" # what scripts/brokers fills in
it "the test brokers' compose file meets it too" compose-go "$work/brokers.yaml"
sed 's/^    healthcheck:/    healthchek:/' docker-compose.yml >"$work/docker-compose.yml"
it "a misspelt key in it is refused" says healthchek compose-go "$work/docker-compose.yml"

# Bind mounts of files that are not there would become empty directories.
mounts() {
  local file
  while read -r file; do
    [ -e "$file" ] || { echo "$file is not there"; return 1; }
  done < <(sed -n 's/^ *- \(\.\/[^:]*\):.*/\1/p' docker-compose.yml)
}
it "what the stack mounts exists" mounts
healthy() {
  python -c '
import sys, yaml
services = yaml.safe_load(open("docker-compose.yml"))["services"]
lacking = [name for name, service in services.items() if "healthcheck" not in service and name != "prepare"]
sys.exit(f"no health check: {lacking}" if lacking else 0)'
}
it "every service that stays up has a health check" healthy
loopback() { ! grep -nE '^ *- ("?)[0-9]+:[0-9]+' docker-compose.yml; }
it "its ports are published on loopback only" loopback

# The definitions are RabbitMQ's own format: a real RabbitMQ reads them, in a virtual host of their own.
definitions() {
  local api vhost=stack-$$
  api=$(scripts/brokers env | sed -n 's/^export HOOKSLUICE_TEST_RABBITMQ_API=//p')
  [ -n "$api" ] || { echo "no RabbitMQ with a management address: scripts/brokers start"; return 1; }
  jq --arg vhost $vhost '(.. | .vhost? // empty) = $vhost | .vhosts[].name = $vhost' deploy/compose/rabbitmq-definitions.json >"$work/definitions.json"
  curl -fsS -H 'Content-Type: application/json' --data-binary @"$work/definitions.json" "$api/api/definitions"
  # Our own credentials then work, and an event with any key is routed.
  local published=0
  curl -fsS -u hooksluice:hooksluice -d '{"properties":{},"routing_key":"com.github.push","payload":"{}","payload_encoding":"string"}' \
    "http://${api#*@}/api/exchanges/$vhost/webhooks/publish" | jq -e .routed || published=1
  curl -fsS -X DELETE "$api/api/vhosts/$vhost"
  curl -fsS -X DELETE "$api/api/users/hooksluice"
  return $published
}
it "RabbitMQ takes the stack's definitions, and routes an event by them" definitions
