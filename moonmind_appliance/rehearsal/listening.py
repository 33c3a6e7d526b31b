"""The sockets on which the stand-ins listen."""

import socket

_BACKLOG = 128


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 selects a free port.

    Not `socket.create_server`: it names no protocol, and then asyncio does not set TCP_NODELAY. Each answer on a kept
    connection would wait 40 ms for the client's acknowledgement.

    Raises:
        OSError: the address is in use, not permitted, or not an address of this machine; no socket is left open.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
