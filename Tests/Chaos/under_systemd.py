#!/usr/bin/python3
"""The systemd unit under a systemd of its own: start, reload, upgrade, restart after a crash, stop.

systemd boots in namespaces of its own over a copy of the root file system that is thrown away: nothing of it reaches the
host. Needs root, and Debian's systemd.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SYSTEMD = "/lib/systemd/systemd"
PATIENCE_SECONDS = 30

# Runs as the first process of the new namespaces, with the folder to use and the program. Of the host's services none is
# to start: the target asks for nothing but systemd's own.
BOOT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs tmpfs run
mount --rbind /dev dev
mount -t cgroup2 cgroup2 sys/fs/cgroup
ip link set lo up
install -D "$2" usr/local/bin/weir
install -D -m 644 "$3" etc/systemd/system/weir.service
install -D -m 644 /dev/stdin etc/weir/weir.yaml <<EOF
admin: { bind: "unix:/run/weir/admin.sock" }
logs: { access: /var/log/weir/access.log }
listeners:
  web:
    bind: 127.0.0.1:80
    mode: http
    routes: [{ respond: { status: 204 } }]
    pool: nobody
pools:
  nobody: { backends: ["127.0.0.1:9"] }
EOF
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' > etc/systemd/system/only-basic.target
for unit in systemd-udevd systemd-udev-trigger systemd-sysctl systemd-modules-load systemd-remount-fs systemd-networkd; do
    ln -sf /dev/null "etc/systemd/system/$unit.service"
done
export container=lxc
exec chroot . """ + SYSTEMD + """ --system --unit=only-basic.target
"""


class Machine:
    """A systemd that runs beside the host's processes, with a Weir in it."""

    def __init__(self, weir, folder):
        command = ["unshare", "--fork", "--pid", "--mount", "--net", "--ipc", "--uts", "--kill-child", "bash", "-c", BOOT]
        self.process = subprocess.Popen([*command, "boot", folder, weir, os.path.join(ROOT, "configs", "weir.service")])

    def wait_until_up(self):
        self.wait_for("systemd to be up", lambda: self.first() and self.run("is-system-running") in ("running", "degraded"))

    def first(self):
        """The process that is the machine's first, once it is systemd."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children) as file:
            found = file.read().split()
        if not found:
            return None
        with open(f"/proc/{found[0]}/comm") as file:
            return found[0] if file.read() == "systemd\n" else None

    def command(self, *words):
        enter = ["nsenter", "--target", self.first(), "--mount", "--pid", "--net", "--ipc", "--uts", "--root", "--wd"]
        return subprocess.run([*enter, *words], capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    def run(self, *words):
        return self.command("systemctl", *words).stdout.strip()

    def must(self, *words):
        done = self.command(*words)
        if done.returncode:
            sys.exit(f"{' '.join(words)}: {done.stdout}{done.stderr}\n{self.log()}")
        return done.stdout.strip()

    def property(self, name):
        return self.run("show", "weir", "--value", "-p", name)

    def log(self):
        return self.command("journalctl", "-u", "weir", "--no-pager", "-o", "cat").stdout if self.first() else ""

    def wait_for(self, what, holds):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if self.process.poll() is not None:
                sys.exit(f"systemd has ended: {self.process.returncode}")
            if time.monotonic() > deadline:
                sys.exit(f"waited {PATIENCE_SECONDS} s for {what}\n{self.log()}")
            time.sleep(0.05)

    def check_answer(self, when):
        status = self.must("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1/")
        if status != "204":
            sys.exit(f"{when}: an answer of {status}")
        print(f"{when}: process {self.property('MainPID')} serves")

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def check(machine):
    machine.wait_until_up()
    machine.must("systemctl", "start", "weir")
    machine.check_answer("started")
    if '"engine":"io_uring"' not in machine.log():
        sys.exit(f"not on io_uring:\n{machine.log()}")
    first = machine.property("MainPID")
    machine.must("systemctl", "reload", "weir")
    machine.wait_for("a reload", lambda: '"event":"reloaded"' in machine.log())
    machine.check_answer("reloaded")
    machine.must("systemctl", "kill", "-s", "USR2", "--kill-whom=main", "weir")
    machine.wait_for("another main process", lambda: machine.property("MainPID") not in (first, "0"))
    machine.check_answer("upgraded by a signal")
    second = machine.property("MainPID")
    machine.must("weir", "upgrade")
    machine.wait_for("another main process", lambda: machine.property("MainPID") not in (second, "0"))
    machine.check_answer("upgraded by command")
    third = machine.property("MainPID")
    machine.must("kill", "-KILL", third)
    machine.wait_for("a restart", lambda: machine.property("ActiveState") == "active"
                     and machine.property("MainPID") not in (third, "0"))
    machine.check_answer("killed, started again by systemd")
    machine.must("systemctl", "stop", "weir")
    if (state := machine.property("ActiveState")) != "inactive":
        sys.exit(f"stopped, and yet {state}")
    print("stopped")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weir", required=True)
    options = parser.parse_args()
    if os.geteuid() != 0 or not os.path.exists(SYSTEMD) or not shutil.which("nsenter"):
        sys.exit("this needs root, systemd and util-linux")
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(os.path.abspath(options.weir), folder)
        try:
            check(machine)
        finally:
            machine.close()


if __name__ == "__main__":
    main()
