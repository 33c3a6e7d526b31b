"""Runs as the main program of the agent container: opens the port that the agent's proxy variables name.

The container has no network. This program sends its listening socket to the egress proxy in another container, through
a Unix socket in a volume that both mount; the proxy accepts the connections. The containers share nothing else.
"""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

BACKLOG = 128
_PAUSE = 0.01


def main(job: dict[str, Any]) -> int:
    """Listen on `port` of the loopback interface, hand over the socket at `socket`, then execute `sleep`.

    Gives up after `seconds`; the container then ends.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", job["port"]))
    listener.listen(BACKLOG)
    if not hand_over(listener, job["socket"], job["seconds"]):
        sys.stderr.write("The egress proxy did not take the socket.\n")
        return 1
    listener.close()
    become_sleep()
    return 0


def become_sleep() -> None:
    """Replace this program by `sleep`, to free Python's memory for the rest of the run."""
    os.execvp("sleep", ["sleep", "infinity"])  # noqa: S606, S607 - coreutils, by fixed name


def hand_over(listener: socket.socket, path: str, seconds: float) -> bool:
    """Send the socket to the program that listens at `path`; True once it has it."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if Path(path).exists():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(max(0.1, give_up - time.monotonic()))
                try:
                    connection.connect(path)
                    socket.send_fds(connection, [b"L"], [listener.fileno()])
                    if connection.recv(1) == b"T":
                        return True
                except OSError:
                    pass  # the proxy does not listen yet, or it ended
        time.sleep(_PAUSE)
    return False
