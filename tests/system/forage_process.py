"""What the tests of the command and of the server share: the command, a running server, HTTP, and the closing line."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import urllib.parse

SOURCE = os.environ.get("FORAGE_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMMAND = os.environ.get("FORAGE") or os.environ.get("FORAGE_BIN") or ""
MEDIA = os.path.join(SOURCE, "examples", "media")

BOOKS = [
    {"id": "b1", "type": "book", "title": "The Hunger Games", "genre": "Fiction", "year": 2008, "popularity": 90},
    {"id": "b2", "type": "book", "title": "Catching Fire", "genre": "Fiction", "year": 2009, "popularity": 70},
    {"id": "b3", "type": "book", "title": "The Hobbit", "genre": "Fantasy", "year": 1937, "popularity": 80},
    {"id": "b4", "type": "book", "title": "Hunger", "genre": "Classics", "year": 1890, "popularity": 10},
    {"id": "f1", "type": "film", "title": "The Hunger Games", "genre": "Drama", "year": 2012, "popularity": 60},
]


def ndjson(documents):
    return "".join(json.dumps(d) + "\n" for d in documents)


def environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("FORAGE_") and k != "NO_COLOR"}
    env.update(more)
    return env


class Folder:
    """A temporary folder that is also the data folder's parent."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="forage-test-")
        self.path = self.temporary.name
        self.data = os.path.join(self.path, "data")
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def file(self, name, text):
        path = os.path.join(self.path, name)
        with open(path, "wb") as out:
            out.write(text if isinstance(text, bytes) else text.encode())
        return path


class Done:
    def __init__(self, completed):
        self.status, self.out, self.err = completed.returncode, completed.stdout.decode(), completed.stderr.decode()

    def __repr__(self):
        return f"status {self.status}\nstdout: {self.out}\nstderr: {self.err}"

    def json(self):
        return json.loads(self.out)


def forage(*arguments, stdin=b"", expect=None, env=None):
    """Runs the command to its end. `expect`: the exit status it must have."""
    done = Done(subprocess.run([COMMAND, *arguments], input=stdin, capture_output=True, timeout=120,
                               env=env or environment()))
    if expect is not None:
        assert done.status == expect, f"forage {' '.join(arguments)}: expected status {expect}, got {done}"
    return done


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:500]!r}"

    def json(self):
        return json.loads(self.body)

    def code(self):
        return self.json()["error"]["code"]


class Server:
    """`forage serve` on a free port. Used with `with`; stop() gives the exit status."""

    def __init__(self, data, *arguments, env=None):
        self.process = subprocess.Popen(
            [COMMAND, "serve", "--data", data, "--listen", "127.0.0.1:0", "--json", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env or environment())
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the server did not start: {self.process.stderr.read().decode()}")
        self.started = json.loads(line)
        self.url = self.started["url"]
        self.port = urllib.parse.urlsplit(self.url).port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def stop(self, number=signal.SIGTERM, timeout=30):
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def request(self, method, target, body=None, headers=None, connection=None):
        """`headers` with a value None are left out. A connection that is given stays open."""
        c = connection or self.connection()
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        c.request(method, target, body=body.encode() if isinstance(body, str) else body, headers=headers or {})
        response = c.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        if not connection:
            c.close()
        return answer

    def raw(self, data, timeout=10):
        """Sends bytes as they are and reads until the server closes or says no more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            received = b""
            try:
                while chunk := s.recv(65536):
                    received += chunk
            except OSError:
                pass
            return received

    def load(self, collection="books", documents=BOOKS):
        answer = self.request("POST", f"/collections/{collection}/documents", ndjson(documents),
                              {"Content-Type": "application/x-ndjson"})
        assert answer.status == 200 and answer.json()["failed"] == 0, answer


def run_tests(names):
    """Runs every test_* function of the module's `names`; prints the closing line. Returns the exit status."""
    if not os.access(COMMAND, os.X_OK):
        sys.exit("FORAGE must name the command, such as build/test/src/cli/forage")
    wanted = sys.argv[1:]
    passed = failed = 0
    for name, function in list(names.items()):
        if not name.startswith("test_") or not callable(function) or (wanted and name not in wanted):
            continue
        try:
            function()
            passed += 1
        except Exception:  # a test's failure must not stop the others
            failed += 1
            print(f"FAILED {name}")
            traceback.print_exc(file=sys.stdout)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
