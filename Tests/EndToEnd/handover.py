"""What two Weirs say to each other in an upgrade (Sources/Control/Upgrade/Handover.swift), for tests that play one of
them; and, as a program, a new process that comes to a bad end: see `MANNERS`."""

import os
import select
import signal
import socket
import sys
from pathlib import Path

#: Where the handover is in a program that Weir starts.
DESCRIPTOR = 3
VERSION = "2"


def send(channel, *words, descriptor=None):
    """One message, with a descriptor or none."""
    message = b"".join(word.encode() + b"\0" for word in words)
    if descriptor is None:
        channel.sendall(message)
    else:
        socket.send_fds(channel, [message], [descriptor])


def receive(channel):
    """The words of the next message, none where the other end is gone; and its descriptor, or None."""
    message, descriptors, _, _ = socket.recv_fds(channel, 1 << 16, 1)
    return message.decode().split("\0")[:-1], descriptors[0] if descriptors else None


def hold_back_wakeups(listeners, when_it_waits=lambda: None):
    """Returns when a client has come to one of the listening sockets (descriptors), whom it does not accept. Of those
    that wait in this way, or in accept(2), the kernel wakes only the one that has waited longest."""
    with select.epoll() as queue:
        for listener in listeners:
            queue.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        when_it_waits()
        queue.poll()


def become_ready(channel):
    """Takes all sockets; answers their descriptors."""
    taken = []
    words, _ = receive(channel)
    assert words[:2] == ["weir-handover", VERSION]
    while words != ["end"]:
        words, descriptor = receive(channel)
        if words[0] == "socket":
            send(channel, "took", str(len(taken)), words[3])
            taken.append(descriptor)
    send(channel, "ready")
    return taken


def await_go(channel):
    assert receive(channel)[0] == ["go"]


def die(*_):
    os.write(2, b"that was it\n")
    os.kill(os.getpid(), signal.SIGKILL)


def end_after_go(channel, _):
    await_go(channel)
    sys.exit("what is wrong")


def die_after_go(channel, _):
    await_go(channel)
    die()


def be_silent_after_go(channel, _):
    await_go(channel)
    signal.pause()


def babble_after_go(channel, _):
    await_go(channel)
    send(channel, "what", "now")
    signal.pause()


def swallow_after_go(channel, listeners):
    await_go(channel)
    hold_back_wakeups(listeners, Path(sys.argv[2]).touch)
    signal.pause()


#: What the program does when it is ready.
MANNERS = {
    function.__name__: function
    for function in (die, end_after_go, die_after_go, be_silent_after_go, babble_after_go, swallow_after_go)
}

if __name__ == "__main__":
    own_end = socket.socket(fileno=DESCRIPTOR)
    own_end.setblocking(True)
    MANNERS[sys.argv[1]](own_end, become_ready(own_end))
