#!/usr/bin/env bash
# Starts processes that train together on this machine, to try a cluster out.
#
# Usage: bash scripts/launch_local.sh [-w WORKERS] [-p SERVERS] -- PROGRAM.py [--flag=value ...]
#   -w WORKERS   how many workers (default: 2)
#   -p SERVERS   how many parameter servers (default: none)
#
# Each has a free port of 127.0.0.1, and its name before each of its lines. When
# one fails all are ended, and the exit code is the one's; SIGTERM and Ctrl-C end
# all as well, which save first and have a minute to. Servers are ended when the
# workers have ended.
set -euo pipefail

usage() {
  echo "error: $1" >&2
  sed -n 's/^# \{0,1\}//; /^Usage/,/^$/p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

workers=2
servers=0
while [[ $# -gt 0 && $1 != -- ]]; do
  case $1 in
    -w) workers=${2-} ;;
    -p) servers=${2-} ;;
    *) usage "'$1' is no option." ;;
  esac
  [[ ${2-} =~ ^[0-9]+$ ]] || usage "$1 needs a number, not '${2-}'."
  shift 2
done
[[ $workers -gt 0 ]] || usage '-w 0: one worker is needed at least.'
[[ $# -ge 2 ]] || usage 'The program to start, and its flags, come after --.'
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Ports at which nothing answers, from a random one upwards.
port=$((20000 + RANDOM % 10000))
free_hosts() {
  local count
  hosts=
  for ((count = 0; count < $1; count++)); do
    port=$((port + 1))
    while (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do
      port=$((port + 1))
    done
    hosts+=,127.0.0.1:$port
  done
  hosts=${hosts#,}
}

free_hosts "$workers"
cluster=("--worker_hosts=$hosts")
if ((servers)); then
  free_hosts "$servers"
  cluster+=("--ps_hosts=$hosts")
fi

# start JOB COUNT COMMAND...: starts them, with their numbers in `started`.
start() {
  local job=$1 count=$2 task name
  shift 2
  started=()
  for ((task = 0; task < count; task++)); do
    name="[$job $task] "
    bash "$here/run.sh" "$@" "${cluster[@]}" "--job_name=$job" "--task=$task" \
      > >(sed -u "s/^/$name/") 2> >(sed -u "s/^/$name/" >&2) &
    started+=($!)
  done
}

# The processes that still run, in `running`.
look() {
  local pid
  running=()
  for pid in "${all[@]}"; do
    if kill -0 "$pid" 2> /dev/null; then running+=("$pid"); fi
  done
}

# Ends all that run: asks, and after a minute does not ask any more.
end_all() {
  local signal turn
  for signal in TERM KILL; do
    look
    [[ ${#running[@]} -gt 0 ]] || return 0
    kill -"$signal" "${running[@]}" 2> /dev/null || true
    for ((turn = 0; turn < 120; turn++)); do
      look
      [[ ${#running[@]} -gt 0 ]] || return 0
      sleep 0.5
    done
  done
}

all=()
trap 'end_all; exit 130' INT
trap 'end_all; exit 143' TERM
start ps "$servers" "$@"
all+=(${started[@]+"${started[@]}"})
start worker "$workers" "$@"
all+=("${started[@]}")

# Until the workers have ended, or one of all has failed.
ended=' '
left=$workers
while ((left)); do
  for pid in "${all[@]}"; do
    if [[ $ended == *" $pid "* ]] || kill -0 "$pid" 2> /dev/null; then
      continue
    fi
    code=0
    wait "$pid" || code=$?
    if ((code)); then
      end_all
      exit "$code"
    fi
    ended+="$pid "
    if [[ " ${started[*]} " == *" $pid "* ]]; then left=$((left - 1)); fi
  done
  sleep 0.2
done
end_all
