#!/usr/bin/env python3
"""Puts the files of the search page into a C table (src/server/assets.h).

embed.py --list FOLDER          prints the files of the page, one a line
embed.py OUTPUT FILE...         writes the table
"""
import hashlib
import pathlib
import sys

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


def page_files(folder):
    return sorted(p for p in pathlib.Path(folder).iterdir() if p.is_file() and p.suffix in CONTENT_TYPES)


def table(files):
    lines = ['#include "server/assets.h"', ""]
    rows = []
    for number, file in enumerate(files):
        data = file.read_bytes()
        lines.append(f"static const unsigned char file_{number}[] = {{")
        for start in range(0, len(data), 32):
            lines.append("    " + "".join(f"{byte}," for byte in data[start:start + 32]))
        lines.append("    0};  /* " + file.name + " */")
        etag = hashlib.sha256(data).hexdigest()[:32]
        kind = CONTENT_TYPES[file.suffix]
        rows.append(f'    {{"{file.name}", "{kind}", "\\"{etag}\\"", file_{number}, {len(data)}}},')
    lines += ["", "const web_asset web_assets[] = {", *rows, "    {0}};", ""]
    return "\n".join(lines)


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--list":
        print("\n".join(file.name for file in page_files(arguments[1])))
    elif arguments:
        pathlib.Path(arguments[0]).write_text(table([pathlib.Path(a) for a in arguments[1:]]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
