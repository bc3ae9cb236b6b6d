#!/usr/bin/env bash
# Starts a cluster of training processes on this machine, to try it out.
#
# Usage: bash scripts/launch_local.sh [-w WORKERS] [-p SERVERS] -- PROGRAM.py [--flag=value ...]
#   -w WORKERS   number of workers (default: 2)
#   -p SERVERS   number of parameter servers (default: 0)
#
# Each process gets a free port of 127.0.0.1; its name precedes each of its
# lines. If one fails, the others are stopped and its exit code is returned.
# SIGTERM, SIGHUP and Ctrl-C stop all processes, which have a minute to save.
# Servers are stopped when all workers have ended.
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
    *) usage "'$1' is not an option." ;;
  esac
  [[ ${2-} =~ ^[0-9]+$ ]] || usage "$1 needs a number, not '${2-}'."
  shift 2
done
[[ $workers -gt 0 ]] || usage '-w 0: at least one worker is needed.'
[[ $# -ge 2 ]] || usage 'The program and its flags must follow --.'
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# free_hosts COUNT: sets `hosts` to addresses on which nothing listens, with
# ports from a random one upwards.
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

# start JOB COUNT COMMAND...: starts COUNT tasks; sets `started` to their PIDs.
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

# find_running: sets `running` to the PIDs of the processes that still run.
find_running() {
  local pid
  running=()
  for pid in "${all[@]}"; do
    if kill -0 "$pid" 2> /dev/null; then running+=("$pid"); fi
  done
}

# stop_all: sends SIGTERM to all processes, and SIGKILL after a minute.
stop_all() {
  local signal turn
  for signal in TERM KILL; do
    find_running
    [[ ${#running[@]} -gt 0 ]] || return 0
    kill -"$signal" "${running[@]}" 2> /dev/null || true
    for ((turn = 0; turn < 120; turn++)); do
      find_running
      [[ ${#running[@]} -gt 0 ]] || return 0
      sleep 0.5
    done
  done
}

all=()
trap 'stop_all; exit 130' INT
trap 'stop_all; exit 143' TERM
trap 'stop_all; exit 129' HUP
start ps "$servers" "$@"
all+=(${started[@]+"${started[@]}"})
start worker "$workers" "$@"
all+=("${started[@]}")

# Wait until all workers have ended or any process has failed.
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
      stop_all
      exit "$code"
    fi
    ended+="$pid "
    if [[ " ${started[*]} " == *" $pid "* ]]; then left=$((left - 1)); fi
  done
  sleep 0.2
done
stop_all
