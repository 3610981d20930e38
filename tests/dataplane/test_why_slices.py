"""The documents' example as it is, in two clusters on one network: why a fleet has slices."""

import contextlib
import select
import socket
from collections.abc import Callable

import pytest
from wired import EXAMPLE, PATIENCE, Wired


@pytest.fixture
def pasted(wire: Callable[..., Wired]) -> Wired:
    """Two clusters with the same attachment, no handler attached yet."""
    return wire({"dev": EXAMPLE, "dev-peer": EXAMPLE}, attached=False)


def test_the_example_in_two_clusters_gives_every_address_twice(pasted: Wired) -> None:
    pasted.attach()
    given = {name: [handler.address for handler in handlers] for name, handlers in pasted.handlers.items()}
    # whereabouts would begin with .1: host-local takes that for the gateway's.
    assert given == {"dev": ["10.200.5.2", "10.200.5.3"], "dev-peer": ["10.200.5.2", "10.200.5.3"]}


def test_a_stream_inside_one_cluster_is_reset_when_the_other_hands_out_the_same_address(pasted: Wired) -> None:
    """A migration runs between two nodes of one cluster; then a node of another cluster joins the network."""
    target, source = pasted.handlers["dev"]
    target.attach()
    source.attach()
    with contextlib.closing(target.listener(0)) as listener:
        stream = source.connect(target.address, listener.getsockname()[1])
        end, _ = listener.accept()
        with contextlib.closing(stream), contextlib.closing(end):
            stream.sendall(b"memory pages")
            assert end.recv(100) == b"memory pages"
            stranger = pasted.handlers["dev-peer"][0]
            stranger.attach()
            assert stranger.address == target.address
            # The kernel of the stranger says whose the address is now, and resets a stream that it does not know.
            with pytest.raises(ConnectionResetError):
                _send(stream, end)


def _send(stream: socket.socket, end: socket.socket) -> None:
    """Send on, as long as what is sent arrives."""
    while True:
        stream.sendall(b"more of them")
        ready, _, _ = select.select([stream, end], [], [], PATIENCE)
        assert ready, "the stream hangs"
        if end in ready:
            end.recv(1000)
        if stream in ready:
            assert stream.recv(1) != b""
