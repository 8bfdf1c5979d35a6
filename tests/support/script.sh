# What the scripts in tests/scripts share; they source it. A script runs in the top folder, works in $work, which is
# removed at its end, and ends with `finish`, whose line "N passed, N failed, N skipped" tests/run.sh adds up.
#
# NASRUN_BIN     folder of nasrun and its tools (bin)
# NASRUN_TESTS   folder of the test helpers (build/release/tests)
set -u
export OMP_NUM_THREADS=1 LC_ALL=C
# shellcheck disable=SC2034  # for the scripts
bin=${NASRUN_BIN:-bin}
helpers=${NASRUN_TESTS:-build/release/tests}
passed=0 failed=0 skipped=0
work=$(mktemp -d "${TMPDIR:-/tmp}/nasrun-test-XXXXXX")
background=""

# A script may define `clean_more` to undo what it did outside of $work.
clean_more() { :; }
clean() {
    [ -n "$background" ] && kill -9 "$background" 2>/dev/null
    clean_more
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "FAILED: $*"
}
skip() {
    skipped=$((skipped + 1))
    echo "SKIPPED, NOT TESTED: $*"
}
finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}

# check TEXT COMMAND...: passes when the command succeeds.
check() {
    what=$1
    shift
    if "$@"; then pass; else fail "$what"; fi
}

make_data() { "$helpers/run/make_data" "$@" || { fail "make_data"; finish; }; }

# make_job FILE DATA: a job for the tiny data of make_data, whose training is small, on one thread.
make_job() {
    cat >"$1" <<END
dataset = { format = "idx"; path = "$2"; validation = 0.2; };
search = { strategy = "bayesian"; starts = ["lean"]; width = 8; };
train = { batch = 32; flip = false; translate = 1; };
devices = "cpu";
threads = 1;
END
}

# The same of images with several labels, three of them.
make_label_data() { python3 tests/support/label_data.py "$1" || { fail "label_data.py"; finish; }; }
make_label_job() {
    cat >"$1" <<END
dataset = { format = "csv"; labels = "several"; path = "$2/list.csv"; validation = 0.25; };
search = { strategy = "none"; starts = ["lean"]; width = 8; };
train = { batch = 32; flip = false; translate = 1; precision = "fp32"; use_validation = false; };
devices = "cpu";
threads = 1;
END
}

# What the clock decides: the numbers that host/journal/events.def says so of, by name, with | between them.
timed() {
    sed -n 's/^EVENT_FIELD([a-z_]*, \([a-z_]*\), \(NUMBER\|RESULT\|INT32\|TEXT\), [A-Z]*, [0-9]*, CLOCK,.*/|\1/p' \
        host/journal/events.def | sort -u | tr -d '\n'
}

# What a run did, without what the clock decides.
history_of() {
    sed -E -e "s/\"(time$(timed))\":[^,}]*,?//g" -e 's/,?"crc":"[0-9a-f]*"//' \
        "$1/journal.jsonl"
}

# The same of candidates that train side by side: in which order their lines come is the clock's affair, too.
unordered_history_of() { history_of "$1" | sed -E 's/"seq":[0-9]*,//' | sort; }

# same_run A B [HISTORY]: two run folders hold the same history (by history_of, or that other function), the same model
# and the same predictions.
same_run() {
    "${3:-history_of}" "$1" >"$work/history.a"
    "${3:-history_of}" "$2" >"$work/history.b"
    if ! cmp -s "$work/history.a" "$work/history.b"; then
        diff "$work/history.a" "$work/history.b" | cut -c 1-300 | head -n 6
        return 1
    fi
    cmp "$1/model.safetensors" "$2/model.safetensors" && cmp "$1/predictions.csv" "$2/predictions.csv"
}

lines_of() { wc -l <"$1" | tr -d ' '; }

# refused COMMAND...: exit status 2 and one line on stderr, which is in $work/err, nothing on stdout.
refused() {
    "$@" >"$work/out" 2>"$work/err"
    [ $? -eq 2 ] && [ "$(lines_of "$work/err")" -eq 1 ] && [ ! -s "$work/out" ]
}

# now: seconds since 1970 with a fraction
now() { date +%s.%N; }
# less A B: A < B, for numbers with a fraction
less() { awk "BEGIN { exit !($1 < $2) }"; }

# wait_for SECONDS COMMAND...: until the command succeeds, looking every 0.02 s; fails after SECONDS.
wait_for() {
    tries=$(($1 * 50))
    shift
    while ! "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.02
    done
}

# unlocked DIR: nobody works on that run. The lock of a killed one is free once its engine is gone, too.
unlocked() { [ ! -e "$1/journal.jsonl" ] || flock -n "$1/journal.jsonl" true; }

# training_in DIR: a training has begun there (its plan is in the journal).
training_in() { grep -q '"event":"plan"' "$1/journal.jsonl" 2>/dev/null; }
