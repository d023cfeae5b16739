#!/bin/sh
# Imports the sample catalogue unless it is there, then serves it.
#     tools/demo.sh FORAGE DATA PORT
set -eu
forage=$1 data=$2 port=$3
catalogue=examples/media/catalogue.ndjson.zst
url=http://127.0.0.1:$port

if "$forage" collections --url "$url" --timeout 2 >/dev/null 2>&1; then
    echo "Forage serves $url already. Stop that one, or take another port and folder: make demo PORT=7701 DATA=other-data"
    exit 1
fi

wanted=$(zstd -dcq "$catalogue" | wc -l)
there=$("$forage" stats -c media --data "$data" --json 2>/dev/null | sed -n 's/.*"documents": *\([0-9]*\).*/\1/p')
if [ "${there:-0}" -lt "$wanted" ]; then # also when an import was interrupted: it inserts or replaces
    "$forage" import --data "$data" --schema examples/media/schema.json -c media "$catalogue"
fi
echo "In a second terminal, in this folder: $forage search --url $url hunger games"
exec "$forage" serve --data "$data" --listen "127.0.0.1:$port"
