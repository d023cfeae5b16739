#!/bin/sh
# Lets each libFuzzer program of a build folder run for some seconds from its seeds.
#     tools/fuzz.sh BUILD SECONDS
# What it finds goes to BUILD/corpus/NAME; a crash leaves its input in BUILD/crashes and stops the run.
set -eu
build=$1 seconds=$2
mkdir -p "$build/crashes"
for program in "$build"/tests/fuzz/fuzz_*; do
    if [ ! -f "$program" ] || [ ! -x "$program" ]; then continue; fi
    name=${program##*/fuzz_}
    corpus=$build/corpus/$name
    mkdir -p "$corpus"
    echo "fuzz_$name: $seconds s"
    "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="$build/crashes/$name-" "$corpus" "tests/fuzz/seeds/$name" >"$build/$name.log" 2>&1 ||
        { tail -n 60 "$build/$name.log"; exit 1; }
    sed -n 's/^stat::number_of_executed_units: */    inputs run: /p' "$build/$name.log"
done
