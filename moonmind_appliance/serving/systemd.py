"""Sends states of this process to systemd, which names a socket in NOTIFY_SOCKET. Without one it does nothing.

A message is one datagram with lines NAME=value. The protocol is stable, and systemd's own manual shows how to send it
without a library: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import logging
import os
import socket
from collections.abc import Mapping

# systemd reads its socket at once; if it does not, the process must not wait for it.
_SEND_SECONDS = 2.0

_log = logging.getLogger(__name__)


def is_supervised(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether systemd started this process and wants to know its state (`Type=notify`)."""
    return environment.get("NOTIFY_SOCKET", "")[:1] in {"/", "@"}


def notify(*lines: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send lines such as READY=1; returns whether they were sent. Never raises.

    A line break inside a line is sent as a space: it would begin another state.
    """
    if not is_supervised(environment):
        return False
    address = environment["NOTIFY_SOCKET"]
    if address[0] == "@":
        # An abstract socket: https://man7.org/linux/man-pages/man7/unix.7.html
        address = "\0" + address[1:]
    message = "\n".join(" ".join(line.splitlines()) for line in lines)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(_SEND_SECONDS)
            sender.connect(address)
            sender.sendall(message.encode())
    except OSError as error:
        _log.warning("The state of the appliance could not be reported to systemd: %s.", error)
        return False
    return True


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """How often systemd expects WATCHDOG=1 at the latest (`WatchdogSec`), in seconds; None: never.

    Source: https://www.freedesktop.org/software/systemd/man/latest/sd_watchdog_enabled.html
    """
    usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not is_supervised(environment) or not usec.isdecimal() or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6 or None
