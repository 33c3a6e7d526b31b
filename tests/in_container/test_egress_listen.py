"""The hand-over of the agent container's listening socket."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

from moonmind_appliance.in_container.command import command
from moonmind_appliance.in_container.egress_listen import hand_over
from moonmind_appliance.in_container.egress_proxy import take_listener


def test_a_socket_is_handed_over_once(tmp_path: Path) -> None:
    """Either side may be first. Afterwards the Unix socket is gone, so the agent cannot send anything to it."""
    path = str(tmp_path / "x.sock")
    taken: list[socket.socket | None] = []
    taking = threading.Thread(target=lambda: taken.append(take_listener(path, 10)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taking.start()
        assert hand_over(listener, path, 10)
        taking.join(10)
        (received,) = taken
        assert received is not None
        with received:
            assert received.getsockname() == listener.getsockname()
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_at_the_place_is_replaced(tmp_path: Path) -> None:
    """Each attempt has a new random name, so it is another attempt's only by accident."""
    (tmp_path / "x.sock").write_text("old")
    assert take_listener(str(tmp_path / "x.sock"), 0.05) is None
    assert list(tmp_path.iterdir()) == []


def test_a_hand_over_without_a_proxy_ends(tmp_path: Path) -> None:
    """The container then ends, and the run with it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not hand_over(listener, str(tmp_path / "x.sock"), 0.1)


def test_the_program_becomes_sleep(tmp_path: Path) -> None:
    """Python is gone, and so is the copy of the socket: only the proxy accepts connections."""
    path = str(tmp_path / "x.sock")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    argv = [sys.executable, *command("egress_listen", {"port": port, "socket": path, "seconds": 10})[1:]]
    with subprocess.Popen(argv) as program:
        try:
            listener = take_listener(path, 10)
            assert listener is not None
            with listener, socket.create_connection(("127.0.0.1", port), 10):
                listener.accept()[0].close()
            shown = Path(f"/proc/{program.pid}/comm")
            for _ in range(500):
                if shown.read_text() == "sleep\n":
                    break
                threading.Event().wait(0.01)
            assert shown.read_text() == "sleep\n"
            descriptors = [each.readlink().name for each in Path(f"/proc/{program.pid}/fd").iterdir()]
            assert not any(name.startswith("socket:") for name in descriptors)
        finally:
            program.kill()
