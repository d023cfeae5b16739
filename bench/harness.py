"""What benchmarks share: rows with bars, the machine's description, the command and its server, resident memory."""

import glob
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("FORAGE_BUILD", os.path.join(ROOT, "build", "release"))
OUT = os.path.join(ROOT, "build", "bench")


class Missing(Exception):
    """Something that the benchmark needs is not here."""


def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^(?:model name|CPU part)\s*:\s*(.*)$", file.read(), re.M)
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(re.search(r"MemTotal:\s*(\d+)", file.read()).group(1))
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)  # some files have flags of their own; this one has everybody's
    compile_command = next(c["command"] for c in commands if c["file"].endswith("base/arena.c")).split()
    changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, cwd=ROOT).stdout
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "compiler": first_line([next(c for c in compile_command if not c.endswith("ccache")), "--version"]),
        "flags": " ".join(f for f in compile_command if re.match(r"-(O|g|m|fsanitize|DNDEBUG)", f)),
        "commit": first_line(["git", "rev-parse", "--short=12", "HEAD"]) + (" and changes" if changed else ""),
        "version": first_line([forage(), "--version"]),
    }


def forage():
    path = os.path.join(BUILD, "src", "cli", "forage")
    if not os.access(path, os.X_OK):
        raise SystemExit(f"{path} is not built: make build")
    return path


def data(*names):
    """A file or folder of the real data; the benchmark is skipped without it."""
    base = os.environ.get("FORAGE_DATA")
    path = os.path.join(base, *names) if base else None
    if not path or not os.path.exists(path):
        raise Missing(f"needs {os.path.join(*names)} in the folder named by FORAGE_DATA")
    return path


def cached(name):
    os.makedirs(os.path.join(OUT, "data"), exist_ok=True)
    return os.path.join(OUT, "data", name)


def fresh_folder(name):
    path = os.path.join(OUT, name)
    shutil.rmtree(path, ignore_errors=True)
    return path


def disk_bytes(folder, pattern="**"):
    """Bytes that files occupy (a sparse file counts what is allocated)."""
    paths = glob.glob(os.path.join(folder, "**", pattern), recursive=True) if pattern != "**" else \
        glob.glob(os.path.join(folder, "**"), recursive=True)
    return sum(os.stat(p).st_blocks * 512 for p in set(paths) if os.path.isfile(p))


def resident(pid):
    """(all resident bytes, those that are not file pages) of a process."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        kib = dict(re.findall(r"^(VmRSS|RssAnon):\s*(\d+) kB", file.read(), re.M))
    return int(kib["VmRSS"]) * 1024, int(kib["RssAnon"]) * 1024


class Watch(threading.Thread):
    """Follows a process's resident memory and keeps the peak."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.peak_anonymous, self.stopped = pid, 0, 0, threading.Event()
        self.start()

    def run(self):
        while not self.stopped.wait(0.05):
            try:
                now = resident(self.pid)
            except (OSError, KeyError):
                return
            self.peak, self.peak_anonymous = max(self.peak, now[0]), max(self.peak_anonymous, now[1])

    def stop(self):
        self.stopped.set()
        self.join()


class Server:
    def __init__(self, folder, log):
        self.process = subprocess.Popen([forage(), "serve", "--data", folder, "--listen", "127.0.0.1:0"],
                                        stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if not found:
            raise SystemExit(f"forage serve did not start: {line!r}, see {log.name}")
        self.port, self.pid = found.group(1), self.process.pid

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


class Bench:
    def __init__(self, name, quick):
        self.name, self.quick, self.rows, self.servers = name, quick, [], []
        os.makedirs(OUT, exist_ok=True)

    def print_machine(self):
        self.machine = machine()
        print(f"bench {self.name}" + (" (quick)" if self.quick else ""))
        for key, value in self.machine.items():
            print(f"  {key:12} {value}")
        print(flush=True)

    def add(self, figure, value, unit, bar=None, lower=False, peer=None, peer_value=None, command=""):
        """One row. bar: what it must reach (at most, when lower is better). peer_value: the other side's, same unit."""
        ratio = None
        if peer_value:
            ratio = peer_value / value if lower else value / peer_value
        row = {"figure": figure, "value": value, "unit": unit, "peer": peer, "ratio": ratio,
               "bar": None if bar is None else f"{'<=' if lower else '>='} {bar:g}", "command": command}
        row["met"] = None if bar is None else (value <= bar if lower else value >= bar)
        self.rows.append(row)
        print(f"  {figure}: {number(value)} {unit}", flush=True)

    def missed(self):
        return [row for row in self.rows if row["met"] is False]

    def report(self):
        columns = ["figure", "value", "unit", "bar", "", "peer", "ratio"]
        table = [columns]
        for row in self.rows:
            verdict = "" if row["met"] is None or self.quick else ("met" if row["met"] else "MISSED")
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
            table.append([row["figure"], number(row["value"]), row["unit"], row["bar"] or "", verdict, row["peer"] or "",
                          ratio])
        widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
        print()
        for line in table:
            cells = [c.rjust(w) if i == 1 else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths))]
            print("  ".join(cells).rstrip())
        path = os.path.join(OUT, self.name + ".json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.rows, file, indent=1)
        print(f"\nwritten to {os.path.relpath(path, ROOT)}")

    def command(self, arguments, one_core=False):
        """Runs `forage …` and returns (standard output, seconds, peak resident bytes, the command line)."""
        line = (["taskset", "-c", str(min(os.sched_getaffinity(0)))] if one_core else []) + [forage()] + arguments
        start = time.monotonic()
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        watch = Watch(process.pid)
        out, err = process.communicate()
        seconds = time.monotonic() - start
        watch.stop()
        if process.returncode != 0:
            raise SystemExit(f"{shlex.join(line)}\nended with {process.returncode}: {err or out}")
        shown = shlex.join(a.replace(forage(), "forage").replace(ROOT + "/", "") for a in line)
        return out, seconds, watch.peak, shown

    def serve(self, folder):
        log = open(os.path.join(OUT, self.name + ".server.log"), "a", encoding="utf-8")
        server = Server(folder, log)
        self.servers.append(server)
        return server

    def stop_servers(self):
        for server in self.servers:
            if server.process.poll() is None:
                server.stop()

    def load(self, server, path, bodies, clients, requests):
        """Runs the load client: its figures as a dictionary, and the command line."""
        line = [os.path.join(BUILD, "bench", "load"), "127.0.0.1", server.port, path, bodies, str(clients), str(requests)]
        result = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
        if result["errors"]:
            raise SystemExit(f"{result['errors']} of {requests} requests failed: see {self.name}.server.log")
        return result, shlex.join(["load"] + [a.replace(ROOT + "/", "") for a in line[1:]])


def number(value):
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"
