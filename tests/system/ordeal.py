"""What the crash tests and the hostile tests share: a server whose log is kept, skips, and errors that are errors."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

import forage_process
from forage_process import SOURCE, Folder, environment, forage, ndjson

# A sanitized process ends with this status when it finds something, so that it is not taken for an ordinary failure.
FOUND = 99
SANITIZERS = {name: f"{os.environ.get(name, '')}:exitcode={FOUND}:halt_on_error=1:abort_on_error=0".lstrip(":")
              for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")}
NOT_ANSWERED = (OSError, http.client.HTTPException, json.JSONDecodeError)


def status_codes():
    """The stable names of include/forage_status.h, each with its HTTP status."""
    with open(os.path.join(SOURCE, "include", "forage_status.h"), encoding="utf-8") as file:
        return {name: int(http) for name, http in re.findall(r'X\(FORAGE_\w+, -?\d+, "(\w+)", (\d+)', file.read())}


CODES = status_codes()
CODES.update({"uri_too_long": 414, "headers_too_large": 431})  # of the server's own making


class Skip(Exception):
    """What the test needs is not to be had here."""


class Client:
    """One connection, opened again when it broke."""

    def __init__(self, port, timeout=120):
        self.port, self.timeout, self.connection = port, timeout, None
        self.next = None  # where the next page of a list starts

    def request(self, method, target, body=None, content_type="application/json"):
        """(HTTP status, what the JSON says). Raises one of NOT_ANSWERED."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        try:
            self.connection.request(method, target, body=body, headers={"Content-Type": content_type})
            response = self.connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        self.next = response.headers.get("Forage-Next")
        if response.headers.get("Content-Type", "").startswith("application/x-ndjson"):
            return response.status, [json.loads(line) for line in text.splitlines()]
        return response.status, json.loads(text)

    def expect(self, method, target, body=None, status=200, **more):
        got, answer = self.request(method, target, body, **more)
        assert got == status, f"{method} {target}: expected {status}, got {got} {str(answer)[:400]}"
        return answer

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class Server(forage_process.Server):
    """A server whose standard error goes to a file: nobody has to read it for the server to go on."""

    def __init__(self, data, *arguments):
        self.log_file = tempfile.TemporaryFile()
        self.data = data
        self.spawn([forage_process.COMMAND, "serve", "--data", data, "--listen", "127.0.0.1:0", "--json", *arguments])
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise AssertionError(f"the server did not start ({self.process.returncode}): {self.log()}")
        self.url = json.loads(line)["url"]
        self.port = int(self.url.rsplit(":", 1)[1])

    def spawn(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log_file,
                                        env=environment(**SANITIZERS))

    def __exit__(self, *exception):
        """A server that was left running must stop in peace."""
        try:
            if self.process.poll() is None and exception[0] is None:
                self.finish()
        finally:
            self.kill()
            if exception[0] is not None and self.log():
                print(f"the server's log:\n{self.log()[-4000:]}")
            self.log_file.close()

    def finish(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        assert status == 0, f"the server ended with {status}: {self.log()[-3000:]}"

    def kill(self):
        """Ends it, if it did not end before in peace."""
        self.process.kill()
        status = self.process.wait()
        self.process.stdout.close()
        assert status in (0, -signal.SIGKILL), f"the server had ended with {status}: {self.log()[-3000:]}"

    def alive(self):
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}: {self.log()[-3000:]}"

    def log(self):
        self.log_file.seek(0)
        return self.log_file.read().decode(errors="replace")

    def client(self, timeout=120):
        return Client(self.port, timeout)

    def raw(self, data, timeout=20):
        """Sends bytes as they are and reads until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            s.sendall(data)
            received = b""
            with contextlib.suppress(OSError):
                while chunk := s.recv(65536):
                    received += chunk
            return received

    def memory(self, which="VmRSS"):
        """Resident memory in MiB; VmHWM is the most there was."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"^{which}:\s+(\d+) kB", file.read(), re.M).group(1)) // 1024

    def forget_peak(self):
        """VmHWM counts from here on."""
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")


def check_error(status, answer, codes=None):
    """An error is JSON with a stable code, its HTTP status, and a message of one line that says something."""
    error = answer["error"]
    code, message = error["code"], error["message"]
    assert CODES.get(code) == status == error["status"], f"{code} is not an error of status {status}: {answer}"
    assert len(message) >= 10 and "\n" not in message and code not in ("internal", "ok"), answer
    if codes:
        assert code in ([codes] if isinstance(codes, str) else codes), f"expected {codes}, got {answer}"
    return error


def cli_error(done, *words, status=1):
    """The command failed as it should: with a sentence, not a signal, and not because a sanitizer found something."""
    assert done.status == status, done
    assert all(word in done.err for word in words), f"expected {words} in: {done}"
    return done.err


def sanitized():
    """Whether the command is built with AddressSanitizer: slower, and with other needs of memory."""
    with open(forage_process.COMMAND or os.devnull, "rb") as file:
        return b"__asan_init" in file.read()


def wait_until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def run_tests(names):
    """Runs every test_* function; those that raise Skip are skipped visibly. Prints the closing line."""
    if not os.access(forage_process.COMMAND, os.X_OK):
        sys.exit("FORAGE (or FORAGE_BIN) must name the command, such as build/test/src/cli/forage")
    wanted = sys.argv[1:]
    passed = failed = skipped = 0
    for name, function in list(names.items()):
        if not name.startswith("test_") or not callable(function) or (wanted and name not in wanted):
            continue
        start = time.monotonic()
        try:
            function()
            passed += 1
        except Skip as reason:
            skipped += 1
            print(f"SKIPPED {name}: {reason}")
        except Exception:  # a test's failure must not stop the others
            failed += 1
            print(f"FAILED {name}")
            traceback.print_exc(file=sys.stdout)
        if os.environ.get("FORAGE_TIMES"):
            print(f"{name}: {time.monotonic() - start:.1f} s")
        sys.stdout.flush()
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


__all__ = ["CODES", "FOUND", "NOT_ANSWERED", "SANITIZERS", "Client", "Folder", "Server", "Skip", "check_error",
           "cli_error",
           "environment", "forage", "ndjson", "run_tests", "sanitized", "wait_until"]
