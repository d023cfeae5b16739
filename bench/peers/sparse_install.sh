#!/bin/sh
# Installs bench_sparse's peers below build/bench/peers: all, or those named (lucene tantivy pisa bm25s xapian). SQLite comes with Python.
# A peer that cannot be had is said and left out.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/build/bench/peers
mkdir -p "$here"

newest_java() { # the folder of the newest Java
    for java in /usr/lib/jvm/*/bin/javac; do
        [ -x "$java" ] && echo "$("$java" -version 2>&1 | sed 's/[^0-9]*\([0-9]*\).*/\1/') ${java%/javac}"
    done | sort -n | tail -1
}

lucene() {
    set -- $(newest_java)
    [ $# = 2 ] && command -v mvn >/dev/null || { echo "Lucene needs a JDK (default-jdk-headless) and maven"; return 1; }
    version=10.6.0
    [ "$1" -ge 21 ] || version=9.12.3
    mkdir -p "$here/lucene"
    rm -f "$here"/lucene/*
    mvn -q dependency:get -Dartifact=org.apache.lucene:lucene-core:$version -Dtransitive=false &&
        mvn -q dependency:copy -Dartifact=org.apache.lucene:lucene-core:$version -DoutputDirectory="$here/lucene" &&
        "$2/javac" -cp "$here/lucene/lucene-core-$version.jar" -d "$here/lucene" "$root/bench/peers/LuceneBench.java" &&
        echo "$2/java" >"$here/lucene/java"
}

tantivy() {
    CARGO_TARGET_DIR=$here/tantivy cargo build --quiet --release --manifest-path "$root/bench/peers/tantivy_bench/Cargo.toml"
}

pisa() { # the extension module was linked with a library that Debian no longer has
    pip install --quiet --upgrade --no-deps --target "$here/python" numpy pyterrier-pisa || return 1
    wheels=$(mktemp -d)
    mkdir -p "$here/tbb"
    pip download --quiet --no-deps --dest "$wheels" tbb==2020.3.254 &&
        python3 -c 'import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
name = next(n for n in wheel.namelist() if n.endswith("/libtbb.so.2"))
open(sys.argv[2], "wb").write(wheel.read(name))' "$wheels"/tbb-*.whl "$here/tbb/libtbb.so.2"
}

bm25s() { pip install --quiet --upgrade --target "$here/python" bm25s numba; }

xapian() { c++ -O2 -o "$here/xapian_bench" "$root/bench/peers/xapian_bench.cc" -lxapian; } # apt-get install libxapian-dev

[ $# -gt 0 ] || set -- lucene tantivy pisa bm25s xapian
failed=0
for peer; do
    if $peer; then echo "$peer: installed"; else echo "$peer: NOT installed"; failed=1; fi
done
exit $failed
