"""Which connection makes room when there are too many."""

from dataclasses import dataclass, field

from moonmind_appliance.serving.connections import Connections
from moonmind_appliance.serving.limits import Limits


@dataclass(eq=False)
class Client:
    origin: str
    dropped: list[str] = field(default_factory=list)

    def drop(self) -> None:
        self.dropped.append(self.origin)


def table(connections: int, of_one: int) -> Connections:
    return Connections(Limits(connections=connections, connections_of_one_address=of_one))


def test_the_one_that_waited_longest_makes_room() -> None:
    """It is the first of the same address; one that works on a request is never closed."""
    connections = table(100, 3)
    working, first, second, new = (Client("a") for _ in range(4))
    for client in (working, first, second):
        assert connections.admit(client)
    connections.waiting(second)
    connections.waiting(first)
    connections.waiting(second)
    assert connections.admit(new)
    assert [client.dropped for client in (working, first, second, new)] == [[], ["a"], [], []]


def test_without_a_waiting_one_the_new_one_is_refused() -> None:
    """It counts until it is closed, and makes room for the next."""
    connections = table(100, 2)
    working = [Client("a"), Client("a")]
    assert all(connections.admit(client) for client in working)
    refused = [Client("a") for _ in range(5)]
    for client in refused:
        assert not connections.admit(client)
        connections.waiting(client)
    assert len(connections) == 3
    assert [len(client.dropped) for client in (*working, *refused)] == [0, 0, 1, 1, 1, 1, 0]
    assert connections.admit(Client("b"))


def test_in_all_the_address_with_the_most_makes_room() -> None:
    """An address with few connections keeps them."""
    connections = table(6, 5)
    few, many = [Client("few")], [Client("many") for _ in range(5)]
    for client in (*few, *many):
        assert connections.admit(client)
        connections.waiting(client)
    assert connections.admit(Client("new"))
    assert few[0].dropped == []
    assert [len(client.dropped) for client in many] == [1, 0, 0, 0, 0]


def test_nothing_is_left_of_closed_connections() -> None:
    """Removing twice does no harm; the counts are those of the open ones."""
    connections = table(4, 2)
    for _ in range(10):
        clients = [Client("a"), Client("a"), Client("b")]
        for client in clients:
            assert connections.admit(client)
            connections.waiting(client)
        for client in (*clients, *clients):
            connections.remove(client)
    assert len(connections) == 0
