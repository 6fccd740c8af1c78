# shellcheck shell=bash
# shellcheck disable=SC2154  # work and here are the caller's
# Sourced by run: the shell scripts.

mapfile -t shells < <(git ls-files -z --cached --others --exclude-standard | xargs -0 grep -lIE '^#!(/usr/bin/env bash|/bin/sh)|^# shellcheck shell=' 2>/dev/null)

parse_all() { local file; for file in "${shells[@]}"; do bash -n "$file"; done; }
it "${#shells[@]} shell scripts parse" parse_all
it "shellcheck has nothing to say about them" shellcheck "${shells[@]}"

executable() { local file; for file in "${shells[@]}"; do case $(head -c2 "$file") in '#!') [ -x "$file" ] || { echo "$file"; return 1; } ;; esac; done; }
it "every script with a first line to run it by can be run" executable

a_track_is_followed() {
  sleep 60 &
  local pid=$!
  track "$work/processes" sleeper $pid
  printf 'stranger %s 1\n' $$ >>"$work/processes" # an id in use again: started at another time, so not ours
  stop_tracked "$work/processes"
  ! kill -0 $pid 2>/dev/null
}
it "a tracked process is ended by its id, and a stranger with a reused id is not" a_track_is_followed

both() { HOOKSLUICE_TEST_KAFKA=127.0.0.1:1 HOOKSLUICE_TEST_RABBITMQ="$1" scripts/brokers env; }
it "brokers named in the environment are passed on" both amqp://127.0.0.1:2
it "one broker named in the environment without the other is an error" says "HOOKSLUICE_TEST_RABBITMQ is not set" both ""

no_rust() { # a PATH with everything but Rust
  mkdir -p "$work/bin"
  local dir
  for dir in /bin /usr/bin /usr/sbin; do ln -sf "$dir"/* "$work/bin/" 2>/dev/null || true; done
  rm -f "$work/bin/cargo" "$work/bin/rustc"
  PATH=$work/bin scripts/setup build
}
it "without Rust, set-up names the remedy" says "https://rustup.rs" no_rust
