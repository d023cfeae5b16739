#!/usr/bin/env python3
"""The library as others use it: the examples run, an installed Forage compiles them, and only its own names are exported."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.environ["FORAGE_SOURCE"]
BUILD = os.environ["FORAGE_BUILD"]
EXAMPLES = os.path.join(BUILD, "examples", "c")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {done.stderr}{done.stdout}"
    return done.stdout


def check_search(output):
    """The good lines go in and the bad one is named; a filter holds; the document that was chosen moves up."""
    first, before, after = output.splitlines()
    assert first.startswith("5 of 6 documents are in; "), first
    assert 'line 3, field "year": expected a number, got "nineteen"' in first, first
    found = {"before": re.findall(r"(\w+)\(([\w,]*)\)", before), "after": re.findall(r"(\w+)\(([\w,]*)\)", after)}
    places = {when: [document for document, _ in hits] for when, hits in found.items()}
    for when, documents in places.items():
        assert {"b1", "f1"} <= set(documents) and "b4" not in documents, output  # b4 is of 1890
        assert len(documents) == len(set(documents)), output
    assert places["after"].index("f1") <= places["before"].index("f1"), output
    assert "memory" in dict(found["after"])["f1"], output


def test_search_example():
    with tempfile.TemporaryDirectory() as folder:
        check_search(run(os.path.join(EXAMPLES, "search"), os.path.join(folder, "data")))


def test_learn_example():
    with tempfile.TemporaryDirectory() as folder:
        output = run(os.path.join(EXAMPLES, "learn"), os.path.join(folder, "data"))
        first, last = map(int, re.search(r"at rank (\d+) for the first .* at rank (\d+) for the last", output).groups())
        assert first > 1, output
        assert 1 <= last < first, output


def test_error_of_an_example():
    with tempfile.NamedTemporaryFile() as file:
        done = subprocess.run([os.path.join(EXAMPLES, "search"), file.name], capture_output=True, text=True)
        assert done.returncode == 1 and file.name in done.stderr, done


def option(name):
    """A built-in option of the build folder, such as its prefix."""
    options = json.loads(run("meson", "introspect", "--buildoptions", BUILD))
    return next(o["value"] for o in options if o["name"] == name)


def test_install_and_compile():
    with tempfile.TemporaryDirectory() as folder:
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", env={**os.environ, "DESTDIR": folder})
        prefix, libdir = folder + option("prefix"), option("libdir")
        for name in ("bin/forage", "include/forage.h", "include/forage_status.h", f"{libdir}/libforage.so",
                     f"{libdir}/libforage.a", f"{libdir}/pkgconfig/forage.pc", "share/man/man1/forage.1"):
            assert os.path.exists(os.path.join(prefix, name)), f"{name} was not installed"
        environment = {**os.environ, "PKG_CONFIG_PATH": os.path.join(prefix, libdir, "pkgconfig")}
        example = os.path.join(SOURCE, "examples", "c", "search.c")
        for kind in ([], ["--static"]):
            flags = run("pkg-config", "--define-prefix", *kind, "--cflags", "--libs", "forage", env=environment).split()
            if kind:
                flags = ["-l:libforage.a" if flag == "-lforage" else flag for flag in flags]
            program = os.path.join(folder, "search")
            run(os.environ.get("CC", "cc"), example, "-o", program, *sanitizers(), *flags)
            library_path = {**os.environ, "LD_LIBRARY_PATH": os.path.join(prefix, libdir)}
            check_search(run(program, os.path.join(folder, "data" + "".join(kind)), env=library_path))
        assert run(os.path.join(prefix, "bin", "forage"), "--version").strip()


def sanitizers():
    """A program that links a sanitized library has to be sanitized too."""
    chosen = option("b_sanitize")
    return [] if chosen == "none" else [f"-fsanitize={chosen}"]


def test_header_is_c_and_cpp():
    include = "-I" + os.path.join(SOURCE, "include")
    compilers = [[os.environ.get("CC", "cc"), "-x", "c", "-std=c99"]]
    if shutil.which("c++"):
        compilers.append(["c++", "-x", "c++", "-std=c++11"])
    for compiler in compilers:
        run(*compiler, "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", include, "-",
            input="#include <forage.h>\nint main(void) { return forage_version() == 0; }\n")


def test_exports_only_its_own_names():
    symbols = run("nm", "-D", "--defined-only", os.path.join(BUILD, "libforage.so")).split("\n")
    names = {line.split()[-1] for line in symbols if line.strip()}
    names = {name for name in names if not name.startswith("_")}  # the linker's and the sanitizers'
    with open(os.path.join(SOURCE, "include", "forage.h"), encoding="utf-8") as file:
        declared = set(re.findall(r"FORAGE_API[^;]*?\b(forage_\w+)\(", file.read()))
    assert names == declared, f"exported but not declared: {names - declared}; missing: {declared - names}"


def main():
    passed = failed = 0
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            try:
                test()
                passed += 1
            except Exception as error:  # every failure is shown, whatever it is
                failed += 1
                print(f"{name}: {type(error).__name__}: {error}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
