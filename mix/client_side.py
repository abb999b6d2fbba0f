"""
A gateway's client port as a socket: one for as long as the gateway runs, whichever directory it has. Fetches
that wait go on waiting when a newer directory comes.
"""

import ssl
from collections.abc import Callable, Mapping

from mix.client_port import ClientPort, GatewayStore
from mix.directory import Directory, Node
from mix.links.front import Front
from mix.links.tls import add_trust, client_port_context
from mix.metrics import NodeMetrics
from mix.settings import GatewaySettings


class ClientSide:
    """`follow` each directory; `stop` at the end. ``submitted(n)``: so many packets came in."""

    def __init__(
        self,
        settings: GatewaySettings,
        store: GatewayStore,
        metrics: NodeMetrics,
        submitted: Callable[[int], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._refused = metrics.refused("client")
        self._submitted = submitted
        self._first_keys: list[tuple[str, Node]] = []
        self._port: ClientPort | None = None
        self._front: Front | None = None
        self._context: ssl.SSLContext | None = None

    def first_mixes(self, now_s: float) -> Mapping[bytes, str]:
        """The keys, accepted now, of the mixes that we send to."""
        return {
            key.key_id: name
            for name, node in self._first_keys
            for key in node.sphinx_keys
            if key.is_accepted(now_s)
        }

    async def follow(self, directory: Directory, node: Node) -> None:
        """Serve by this directory from now on; listens when it is called first. Raises UserError."""
        settings, pair = self._settings, (self._settings.certificate_path, self._settings.key_path)
        self._first_keys = [(name, directory.node(name)) for name in directory.successors(node.name)]
        reserved = {one.token: one.owner for one in directory.services}
        if self._port is not None and self._context is not None:
            self._port.reserved = reserved
            add_trust(self._context, [], pair)
            return
        port = ClientPort(node, self._store, self.first_mixes, reserved, self._refused, self._submitted)
        context = client_port_context(*pair, self._refused)
        front = Front(port.handle, self._refused, most_connections=settings.most_connections)
        await front.start(settings.client_host, settings.client_port, context)
        self._port, self._front, self._context = port, front, context

    async def stop(self) -> None:
        """End the fetches that wait, finish the requests in hand, listen no more."""
        self._store.stop_waiting()
        if self._front is not None:
            await self._front.stop()
