"""A cascade with an echo service behind its second gateway."""

from pathlib import Path

from tests.integration.network.harness import Daemon, Network, make_network, mixmint
from tests.ports import free_port


def with_echo(folder: Path) -> Network:
    """Made by the operators' commands; nothing runs yet."""
    port = free_port()
    mixmint("echo", "init", folder / "echo", "--gateway", "g2", "--operations-port", port)
    network = make_network(folder, extra=[folder / "echo" / "descriptor"])
    network.daemons["echo"] = Daemon("echo", "echo", folder / "echo" / "echo.toml", port, 0)
    return network
