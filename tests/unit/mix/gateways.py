"""A gateway's client port over real TLS, with its store and its clock."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mix import mailbox
from mix.certificates import make_certificate
from mix.client_port import ClientPort, GatewayStore, Limits
from mix.directory import Node
from mix.endpoint import GatewayClient
from mix.frame import FrameId
from mix.links.front import Front
from mix.links.tls import client_port_context
from mix.mailbox import Quota
from mix.packet.geometry import PACKET_BYTES, Addressed
from mixmint.database import Writer, open_database
from mixmint.keys import SigningKey, write_new, write_secret
from tests.unit.mix.networks import make_network

RESERVED = b"a service's tok"[:16].ljust(16, b"n")


SERVICE = SigningKey(bytes([5]) * 32)


QUOTA = Quota(tokens_per_owner=3, packets_per_owner=16, owners=2)


@dataclass
class Gateway:
    """A client port, its store, its clock, and what it counted."""

    node: Node
    store: GatewayStore
    first_key: bytes
    refused: list[str] = field(default_factory=list)
    ahead_s: float = 0.0

    def client(self, owner: SigningKey, patience_s: float = 0.0) -> GatewayClient:
        return GatewayClient(self.node, owner, patience_s=patience_s)

    def packet(self) -> Addressed:
        return Addressed(self.first_key + os.urandom(PACKET_BYTES))

    async def arrive(self, *tokens: bytes) -> mailbox.Delivery:
        """A frame with one packet for each token, from delivery to recorded tags."""
        frame = FrameId(os.urandom(16))
        delivery = await self.store.deliver(frame, [(token, os.urandom(PACKET_BYTES)) for token in tokens])
        self.store.recorded(frame, delivery)
        return delivery


@asynccontextmanager
async def running(folder: Path, waiting_per_owner: int = 300) -> AsyncIterator[Gateway]:
    network = make_network()
    certificate = make_certificate("g1", time.time())
    write_secret(folder / "link.key", certificate.key_pem)
    write_new(folder / "link.crt", certificate.certificate_pem)
    writer = Writer(open_database(folder / "gateway.db", mailbox.SCHEMA))
    store = GatewayStore(writer, Limits(QUOTA, 1000, waiting_per_owner), 0)
    node = msgspec.structs.replace(
        network.directory.node("g1"), certificate=certificate.certificate_der, client_port=1
    )
    made = Gateway(node, store, bytes(network.directory.node("m1").sphinx_keys[0].key_id))

    def clock() -> float:
        return time.time() + made.ahead_s

    port = ClientPort(
        node,
        store,
        lambda _: {made.first_key: "m1"},
        {RESERVED: SERVICE.public},
        made.refused.append,
        lambda _: None,
        clock,
    )
    front = Front(port.handle, made.refused.append, idle_s=1.0, most_connections=8)
    tls = client_port_context(folder / "link.crt", folder / "link.key", made.refused.append)
    await front.start("127.0.0.1", 0, tls)
    made.node = msgspec.structs.replace(node, client_port=front.port)
    try:
        yield made
    finally:
        store.stop_waiting()
        await front.stop()
        await writer.close()
