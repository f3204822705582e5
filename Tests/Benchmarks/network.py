"""The network that the benchmark measures in: a namespace of its own, so that its figures do not depend on how
the host's TCP is set, and its settings and connections do not touch the host."""

import ctypes
import fcntl
import os
import socket
import struct

from processes import BenchError

# The kernel's own default and Debian's. With bbr, which some hosts choose, timers pace each large write; in the
# bulk cell they hide what separates proxies that splice.
USUAL_CONGESTION_CONTROL = "cubic"
SETTING = "/proc/sys/net/ipv4/tcp_congestion_control"

# <linux/sched.h>, <linux/sockios.h>, <linux/if.h>
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


class Network:
    """Moves this process, and what it starts from here on, into a network of its own where the host allows it."""

    def __init__(self, warn):
        # What all cells run under that ask for no other: the host's, and a new network's, to begin with.
        self.usual = congestion_control()
        self.is_own = False
        try:
            try_in_child(enter_namespace)
            enter_namespace()
            self.is_own = True
        except OSError as error:
            warn(f"no network namespace of its own ({error.strerror}): measured in the host's, under its congestion"
                 f" control, {self.usual}")
            return
        try:
            set_congestion_control(USUAL_CONGESTION_CONTROL)
        except OSError as error:
            warn(f"congestion control {USUAL_CONGESTION_CONTROL} cannot be had ({error.strerror}):"
                 f" measured under {congestion_control()}")
        self.usual = congestion_control()

    def choose(self, wanted):
        """Connections from here on use this congestion control, the usual one for None. Raises BenchError where
        it cannot be had."""
        wanted = wanted or self.usual
        if wanted == congestion_control():
            return
        if not self.is_own:
            raise BenchError(f"{wanted} needs a network of its own; the host's has {self.usual}")
        try:
            set_congestion_control(wanted)
        except OSError as error:
            raise BenchError(f"this kernel refuses congestion control {wanted}: {error.strerror}") from error

    def described(self):
        where = "loopback in a network namespace of its own" if self.is_own else "the host's loopback"
        return f"{where}, congestion control {self.usual}"


def congestion_control():
    with open(SETTING) as file:
        return file.read().strip()


def set_congestion_control(name):
    with open(SETTING, "w") as file:
        file.write(name)


def try_in_child(step):
    """Raises the OSError that `step` ends with, without its effects: some hosts allow a namespace and then no
    interface in it, and there is no way back out of one."""
    child = os.fork()
    if child == 0:
        status = 255
        try:
            step()
            status = 0
        except OSError as error:
            status = error.errno
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise OSError(status, os.strerror(status))


def enter_namespace():
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        unshare(CLONE_NEWNET)
    else:
        # A user namespace gives the right to make the network. Users stay who they are in it.
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    raise_loopback()


def unshare(flags):
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def raise_loopback():
    """The one interface of a new network is down. Its addresses come with it."""
    # struct ifreq: a name of 16 bytes, then a union of 24 that begins with the flags.
    layout = "16sh22x"
    with socket.socket() as any_socket:
        name, flags = struct.unpack(layout, fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack(layout, b"lo", 0)))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack(layout, name, flags | IFF_UP))
