#!/usr/bin/env python3
"""Puts one file into a C array: embed_text.py SYMBOL INPUT OUTPUT gives `const char SYMBOL[]` and `const size_t SYMBOL_size`."""
import pathlib
import sys

symbol, source, output = sys.argv[1:]
data = pathlib.Path(source).read_bytes()
rows = ["".join(f"{byte}," for byte in data[start:start + 32]) for start in range(0, len(data), 32)]
pathlib.Path(output).write_text(
    f"#include <stddef.h>\n\nextern const char {symbol}[];\nextern const size_t {symbol}_size;\n"
    f"const char {symbol}[] = {{\n" + "\n".join(rows) + f"0}};\nconst size_t {symbol}_size = {len(data)};\n")
