#!/bin/sh
# Installs the Debian packages that building and testing need and that are missing; says what it runs before it does.
#     tools/deps.sh [--browser]      --browser: also Chromium, for the test of the search page
set -eu

packages="build-essential meson ninja-build pkg-config liblmdb-dev libmicrohttpd-dev libyajl-dev libicu-dev
libstemmer-dev libexttextcat-dev libexttextcat-data libzstd-dev zlib1g-dev libxxhash-dev libcurl4-openssl-dev
libxgboost-dev libdnnl-dev libcmocka-dev faketime zstd python3"
if [ "${1:-}" = --browser ]; then packages="$packages chromium"; fi

if ! command -v dpkg-query >/dev/null; then
    echo "This is not Debian or a relative of it, so nothing is installed; these packages by Debian's names are needed:"
    echo "$packages"
    exit 0
fi

missing=
for package in $packages; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    if [ "$status" != installed ]; then missing="$missing $package"; fi
done
if [ -z "$missing" ]; then exit 0; fi

command="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root="sudo "
else
    echo "Packages are missing, and installing them needs root. As root, run:"
    echo "    apt-get update && $command"
    exit 1
fi
echo "Installing what is missing:"
echo "    ${as_root}apt-get update && $as_root$command"
${as_root}apt-get update -q
${as_root}env DEBIAN_FRONTEND=noninteractive $command
