"""Ports for daemons that tests start: nobody is given them twice."""

import socket

import pytest

from mixmint.demo import network
from mixmint.errors import UserError
from tests import ports
from tests.ports import free_port, free_ports


def test_no_two_callers_have_a_port_in_common() -> None:
    """Though nobody listens on any of them yet."""
    given = [port for count in (1, 5, 20, 1) for port in free_ports(count)]
    assert len(set(given)) == 27


def test_a_port_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its user knows nothing of our locks; without another there is an error, and no endless search."""
    with socket.socket() as used:
        port = free_port()
        used.bind(("127.0.0.1", port))
        monkeypatch.setattr(ports, "_PORTS", range(port, port + 1))
        monkeypatch.setattr(ports, "_BLOCK", 1)
        with pytest.raises(RuntimeError, match="1 free ports"):
            free_port()


def test_a_networks_ports_are_none_that_a_connection_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand in settings for as long as the folder lasts."""
    with network.free_ports(30) as found:
        assert len(set(found)) == 30
        assert max(found) < 32_768
        monkeypatch.setattr(network, "_UNASKED", found)
        with pytest.raises(UserError, match="no 1 free ports"), network.free_ports(1):
            pass
