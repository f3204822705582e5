"""weir-bench as the tests run it: origins that serve until they are asked for their counts, and loads."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

from deadlines import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
BENCH = str(Path(os.environ.get("WEIR_BENCH", ROOT / ".build/release/weir-bench")).resolve())


class Origin:
    """Listens when the constructor returns; on a free port where no address is named."""

    def __init__(self, *arguments, listen="127.0.0.1:0"):
        self.process = subprocess.Popen(
            [BENCH, "origin", "--listen", listen, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        match = re.search(r"origin listens on (\S+)$", line)
        assert match, line + self.process.stderr.read()
        self.address = match[1]

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])

    def counts(self):
        """Ends it."""
        self.process.send_signal(signal.SIGTERM)
        output, errors = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0 and errors == "", errors
        return json.loads(output)

    def kill(self):
        self.process.kill()
        self.process.communicate()


def bench(*arguments):
    return subprocess.run(
        [BENCH, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE_SECONDS + 60)


def load(target, *arguments, code=0):
    """What a load found. A second is the default: long enough to count, short enough to wait for."""
    if "--duration" not in arguments:
        arguments = ("--duration", "0.5s", *arguments)
    run = bench("load", "--target", target, "--json", *arguments)
    assert run.returncode == code, run.stderr
    return json.loads(run.stdout)
