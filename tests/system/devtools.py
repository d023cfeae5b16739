"""A browser to test with: headless Chromium driven through the DevTools protocol, with the standard library alone.

The browser reads commands from one pipe and writes answers to another (--remote-debugging-pipe): JSON messages, each
ended by a NUL byte. No port, no WebSocket, nothing to install but the browser itself.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")
KEYS = {  # name: (code, virtual key, text)
    "Enter": ("Enter", 13, "\r"), "Escape": ("Escape", 27, ""), "Tab": ("Tab", 9, ""),
    "ArrowDown": ("ArrowDown", 40, ""), "ArrowUp": ("ArrowUp", 38, ""),
    "Home": ("Home", 36, ""), "ArrowLeft": ("ArrowLeft", 37, ""), "ArrowRight": ("ArrowRight", 39, ""), " ": ("Space", 32, " "),
}


class PageError(Exception):
    """The page threw, or did not reach an expected state in time."""


def find_browser():
    """The browser's path, or None. FORAGE_BROWSER names another than Debian's."""
    named = os.environ.get("FORAGE_BROWSER")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One Chromium process with one page. Use it in a with statement."""

    def __init__(self, path, timeout=20):
        self.timeout = timeout
        self.complaints = []  # console errors, policy violations, uncaught exceptions, failed requests
        self._profile = tempfile.mkdtemp(prefix="forage-browser-")
        self._answers, self._buffer, self._last = {}, b"", 0
        commands_out, commands_in = os.pipe()
        answers_out, answers_in = os.pipe()
        # Descriptors 3 and 4 are the protocol's; ours are moved out of their way before they are put there.
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (commands_out, answers_in)]

        def place():
            os.dup2(theirs[0], 3)
            os.dup2(theirs[1], 4)

        self._process = subprocess.Popen(
            [path, "--headless=new", "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={self._profile}",
             "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--force-color-profile=srgb",
             "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=place, pass_fds=(3, 4), start_new_session=True)
        for fd in (commands_out, answers_in, *theirs):
            os.close(fd)
        self._in, self._out = commands_in, answers_out
        self._session = None
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._session = None
            self.call("Browser.close")
            self._process.wait(10)
        except (PageError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    # ---- The protocol ----

    def call(self, method, **parameters):
        """One command and its result."""
        self._last += 1
        number = self._last
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + self.timeout
        while number not in self._answers:
            self._read(deadline, method)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise PageError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _read(self, deadline, what):
        ready, _, _ = select.select([self._out], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise PageError(f"the browser did not answer {what} within {self.timeout} s")
        data = os.read(self._out, 1 << 20)
        if not data:
            raise PageError("the browser ended")
        *messages, self._buffer = (self._buffer + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._note(message["method"], message["params"])

    def _note(self, event, about):
        if event == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            thrown = details.get("exception", {}).get("description", "")
            self.complaints.append(f"uncaught: {details['text']} {thrown}")
        elif event == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.complaints.append("console: " + " ".join(str(a.get("value", "")) for a in about["args"]))
        elif event == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"log: {about['entry']['text']} {about['entry'].get('url', '')}")

    # ---- The page ----

    def open(self, address):
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'", "the page to load")

    def evaluate(self, expression):
        """The value of a JavaScript expression; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def until(self, expression, what=None, seconds=10):
        """Waits for an expression to become true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                raise PageError(f"waited {seconds} s for {what or expression}")
            time.sleep(0.03)

    def type(self, text, pause=0.02):
        for letter in text:
            self.call("Input.dispatchKeyEvent", type="char", text=letter)
            time.sleep(pause)

    def press(self, key, modifiers=0):
        code, number, text = KEYS.get(key, (key, ord(key.upper()[0]), key))
        same = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **same)
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def click(self, selector):
        """A real click in the middle of the first element that matches, scrolled into view."""
        place = self.evaluate(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            if (!element) return null;
            element.scrollIntoView({{block: 'center', behavior: 'instant'}});
            const box = element.getBoundingClientRect();
            return [box.left + box.width / 2, box.top + box.height / 2];
        }})()""")
        if not place:
            raise PageError(f"nothing to click at {selector}")
        at = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", **at)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **at)

    def size(self, width, height, dark=False, touch=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"}])

    def picture(self, path):
        """Writes what is visible as a PNG."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
