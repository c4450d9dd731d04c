#!/usr/bin/env bash
# A nightly benchmark by cron, in the crontab of the user who owns the results:
#
#   MAILTO=you@example.com
#   17 2 * * *  BENCH_HOME=/srv/tf-bench /srv/tf-bench/cron-nightly.sh
#
# cron mails what this prints: nothing after a night in which nothing got worse, one line after an inconclusive one,
# the summary after every other. Its exit code is that of `bench test`.
set -uo pipefail

BENCH_HOME=${BENCH_HOME:-$HOME/tf-bench} # has nightly.json; results/ and nightly/ come to be in it
VENV=${VENV:-$BENCH_HOME/.venv}
CONFIG=${CONFIG:-$BENCH_HOME/nightly.json}
RESULTS=${RESULTS:-$BENCH_HOME/results}
OUT=${OUT:-$BENCH_HOME/nightly/$(date -u +%Y%m%dT%H%M%SZ)}
PATH=$VENV/bin:$PATH

mkdir -p "$OUT" "$RESULTS" || exit 5
exec 9> "$RESULTS/.nightly.lock"
if ! flock --nonblock 9; then
    echo "The night before still runs: nothing was measured."
    exit 4
fi

code=0
bench test "$CONFIG" --results "$RESULTS" --baseline history \
    --export "junit=$OUT/junit.xml" --export "markdown-summary=$OUT/summary.md" \
    --export "csv=$OUT/run.csv" > "$OUT/log.txt" 2>&1 9>&- || code=$?

case $code in
0) ;;
3) echo "Inconclusive: see $OUT/summary.md" ;;
*)
    echo "Exit code $code: 1 regressed, 2 config, 4 broken or unfinished, 5 not stored. The log is $OUT/log.txt"
    if [ -f "$OUT/summary.md" ]; then cat "$OUT/summary.md"; else tail -n 20 "$OUT/log.txt"; fi
    ;;
esac
exit "$code"
