"""A headless Chromium, driven over its pipe by the Chrome DevTools Protocol; no other program is needed."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

from deadlines import PATIENCE_SECONDS, wait_until

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One page. Remembers what it asked the network for, and what its scripts complained of."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="chromium")
        to_browser, self._output = os.pipe()
        self._input, from_browser = os.pipe()
        command = [
            BINARY, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
            "--disable-background-networking", "--disable-dev-shm-usage", "--remote-debugging-pipe",
            f"--user-data-dir={self.folder}", "about:blank",
        ]
        # It wants them as descriptors 3 and 4.
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "bash", *command],
            pass_fds=(to_browser, from_browser), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_browser)
        os.close(from_browser)
        self._received = b""
        self._number = 0
        self._session = None
        self.requests, self.complaints = [], []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        """A command's result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._output, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self, deadline):
        while b"\0" not in self._received:
            assert select.select([self._input], [], [], max(0, deadline - time.monotonic()))[0], "Chromium is silent"
            piece = os.read(self._input, 1 << 20)
            assert piece, "Chromium ended"
            self._received += piece
        text, _, self._received = self._received.partition(b"\0")
        message = json.loads(text)
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            case "Runtime.exceptionThrown" | "Log.entryAdded":
                self.complaints.append(message["params"])
        return message

    def open(self, url):
        self.ask("Page.navigate", url=url)
        self.wait_for(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def evaluate(self, expression):
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, expression):
        return wait_until(lambda: self.evaluate(expression), expression)

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")

    def press(self, key, text=None):
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text or key} if kind == "keyDown" and len(text or key) == 1 else {}
            code = {"Tab": 9, "Enter": 13, "Escape": 27}.get(key, 0)
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **typed)

    def type(self, text):
        self.ask("Input.insertText", text=text)

    def look(self, width=1200, height=900, is_dark=False, is_phone=False):
        """As what the page is shown."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone)
        self.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}])

    def screenshot(self):
        """The octets of a PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def close(self):
        # With its helpers, which write into the folder.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._input)
        os.close(self._output)
        shutil.rmtree(self.folder, ignore_errors=True)
