# shellcheck shell=bash
# Helpers that the scripts share. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # for those who source this
run=$root/.run # everything the scripts make: state, caches, logs

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Does version $1 reach version $2?
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$2" ]; }

# One digest over files: a cache is current while its stamp holds the digest of what it was made from.
digest() { cat -- "$@" | sha256sum | cut -d' ' -f1; }
stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# Free TCP ports on loopback, below the range that outgoing connections take theirs from.
free_ports() {
  python3 - "$1" <<'PY'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", random.randrange(15000, 32000)))
    except OSError:
        continue
    held.append(s)
print(*(s.getsockname()[1] for s in held))
PY
}

# A process is known by its id and its start time, so that a reused id is never taken for it.
started_at() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) } # the command's name may hold spaces
  [ "${stat%% *}" != Z ] || return 1
  cut -d' ' -f20 <<<"$stat"
}

# track FILE NAME PID: remember a process that we started.
track() { printf '%s %s %s\n' "$2" "$3" "$(started_at "$3")" >>"$1"; }

alive() { [ "$(started_at "$1")" = "$2" ]; } # PID START

# stop_tracked FILE: ask every process in FILE to end, insist after 20 seconds, then forget them.
stop_tracked() {
  [ -f "$1" ] || return 0
  local name pid start left
  while read -r name pid start; do
    if alive "$pid" "$start"; then kill -TERM "$pid" 2>/dev/null || true; fi
  done < <(tac "$1")
  for _ in $(seq 200); do
    left=
    while read -r name pid start; do
      if alive "$pid" "$start"; then left=1; fi
    done <"$1"
    [ -n "$left" ] || break
    sleep 0.1
  done
  while read -r name pid start; do
    if alive "$pid" "$start"; then
      warn "$name ($pid) did not end on SIGTERM: SIGKILL"
      kill -KILL "$pid" 2>/dev/null || true
    fi
  done <"$1"
  rm -f "$1"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || {
      printf 'error: %s did not come up in time\n' "$what" >&2
      return 1
    }
    sleep 0.2
  done
}
