"""
What the directory holds. Plain data, as it travels; the questions asked of it are methods.

Source: docs/spec/directory.md.
"""

from collections.abc import Iterator, Sequence
from random import Random, SystemRandom
from typing import Annotated, Literal, Protocol

from msgspec import Meta

from mix.packet.build import Hop, Route
from mix.packet.geometry import KeyId, Token
from mixmint.errors import UserError
from mixmint.wire import Bytes16, Bytes32, Message

CASCADE_LENGTH = 3
EPOCH_S = 7 * 86_400
"""A network's key epoch, unless it says otherwise."""
Name = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z0-9][a-z0-9-]*\Z")]
Host = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:\-]+\Z")]
Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[int, Meta(ge=0, le=2**40)]
Count = Annotated[int, Meta(ge=0, le=2**31)]
CertificateDer = Annotated[bytes, Meta(max_length=2048)]


class Exponential(Protocol):
    """The part of `random.Random` that delays need; outside tests a `SystemRandom`."""

    def expovariate(self, lambd: float, /) -> float:
        """An exponentially distributed number of mean 1 / lambd."""


class SphinxKey(Message, frozen=True):
    """
    One key of a node, for one epoch. Senders use it in [not_before_s, not_after_s), Unix seconds.

    The node accepts it for one epoch more at either end: packets and reply blocks made before the change
    arrive after it, and a sender's clock may run ahead.
    """

    key_id: Bytes16
    public: Bytes32
    epoch: Count
    not_before_s: Seconds
    not_after_s: Seconds

    @property
    def accepted_from_s(self) -> int:
        return self.not_before_s - (self.not_after_s - self.not_before_s)

    @property
    def accepted_until_s(self) -> int:
        return self.not_after_s + (self.not_after_s - self.not_before_s)

    def is_current(self, now_s: float) -> bool:
        return self.not_before_s <= now_s < self.not_after_s

    def is_accepted(self, now_s: float) -> bool:
        """Whether the node still unwraps packets made for this key: previous, current and next epoch."""
        return self.accepted_from_s <= now_s < self.accepted_until_s


class Node(Message, frozen=True):
    """
    A mix or a gateway.

    ``certificate`` and ``next_certificate`` are X.509, DER, whole: whoever connects trusts these bytes and
    no others. Only gateways have a client port, and a discard endpoint (token, X25519 key) at which cover
    packets end; a mix has 0 and empty bytes there.
    """

    name: Name
    role: Literal["mix", "gateway"]
    identity: Bytes32
    host: Host
    link_port: Port
    client_port: Port
    certificate: CertificateDer
    next_certificate: CertificateDer
    sphinx_keys: Annotated[tuple[SphinxKey, ...], Meta(min_length=1, max_length=4)]
    discard_token: bytes
    discard_public: bytes

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """The certificates to trust, DER: the current one, and the next one if it is announced."""
        return tuple(der for der in (self.certificate, self.next_certificate) if der)

    def key_at(self, now_s: float) -> SphinxKey:
        """
        The key that a sender uses now: of this epoch, or (a directory in its grace) the last still accepted.

        Raises UserError when none is.
        """
        for key in self.sphinx_keys:
            if key.is_current(now_s):
                return key
        late = [key for key in self.sphinx_keys if key.is_accepted(now_s)]
        if not late:
            raise UserError(f"the directory has no key of {self.name} for today; get a newer directory file")
        return late[-1]


class Service(Message, frozen=True):
    """
    An endpoint that everyone may write to: its mailbox (gateway, token) and the key it unwraps with.

    ``identity`` is what the service signs with (the bank's signing key, for one). ``owner`` is the key that
    owns the mailbox: its gateway lets nobody else register the token, which everyone can read here. ``url``
    is its direct, not anonymous HTTP address, empty if it has none.
    """

    name: Name
    kind: Literal["bank", "board", "echo"]
    identity: Bytes32
    gateway: Name
    token: Bytes16
    endpoint_public: Bytes32
    owner: Bytes32
    url: Annotated[str, Meta(max_length=256, pattern=r"^(https?://[A-Za-z0-9.:\-\[\]/_~]+)?\Z")]


class Mixing(Message, frozen=True):
    """
    How every mix of the network holds packets back: one way for all, so that none stands out.

    *timed-pool*: at each tick a mix with N packets releases min(N - minimum, N * permille / 1000).
    *threshold*: it releases all but the minimum when ``threshold`` have come, or ``longest_ms`` after the
    first of them. *poisson*: each sender draws each packet's delay at each mix, exponential of mean
    ``delay_ms`` and at most ``most_delay_ms``; the mix rounds it up to its next tick. Numbers that the
    strategy doesn't use are 0.
    """

    strategy: Literal["timed-pool", "threshold", "poisson"]
    pool_minimum: Annotated[int, Meta(ge=0, le=4096)]
    pool_permille: Annotated[int, Meta(ge=0, le=1000)]
    threshold: Annotated[int, Meta(ge=0, le=65_536)]
    longest_ms: Annotated[int, Meta(ge=0, le=86_400_000)]
    delay_ms: Annotated[int, Meta(ge=0, le=86_400_000)]
    most_delay_ms: Annotated[int, Meta(ge=0, le=86_400_000)]

    def draw_delay_ms(self, rng: Exponential) -> int:
        """What a sender asks a mix to wait with his packet; 0 where mixes decide."""
        if self.strategy != "poisson":
            return 0
        return min(int(rng.expovariate(1 / self.delay_ms)), self.most_delay_ms)


class Cover(Message, frozen=True):
    """
    Packets that mean nothing. ``packets``: how many each mix adds to its pool in each tick. ``loop_ms``: the
    mean time between two packets that a node sends to itself through a gateway; ``client_ms``: between two
    packets of a member whose agent runs, whether or not he has something to say. 0: none.
    """

    packets: Annotated[int, Meta(ge=0, le=256)]
    loop_ms: Annotated[int, Meta(ge=0, le=86_400_000)]
    client_ms: Annotated[int, Meta(ge=0, le=86_400_000)]


TIMED_POOL = Mixing("timed-pool", 8, 650, 0, 0, 0, 0)
"""The default: docs/spec/mixing-timed-pool.md."""
MIX_COVER = Cover(8, 0, 0)
"""The default: cover in every pool, none of nodes and members."""


class Directory(Message, frozen=True):
    """
    The document that the authorities sign.

    ``previous`` is the hash of the signed directory before this one, zero for the first. ``tick_ms`` 0 means
    "send at once": a setting for measuring, which hides nothing. ``epoch_s``: the length of a key epoch; key
    epoch n is the Unix seconds from n * epoch_s on, for every node.
    """

    network: Name
    sequence: Count
    previous: Bytes32
    epoch: Count
    valid_from_s: Seconds
    valid_until_s: Seconds
    grace_s: Seconds
    epoch_s: Annotated[int, Meta(ge=1, le=366 * 86_400)]
    tick_ms: Annotated[int, Meta(ge=0, le=600_000)]
    mixing: Mixing
    cover: Cover
    body_bytes: Count
    nodes: Annotated[tuple[Node, ...], Meta(min_length=4, max_length=256)]
    cascades: Annotated[tuple[tuple[Name, Name, Name], ...], Meta(min_length=1, max_length=64)]
    services: Annotated[tuple[Service, ...], Meta(max_length=256)]

    def node(self, name: str) -> Node:
        """Raises UserError when no node has the name."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise UserError(f"the directory of network {self.network} has no node {name!r}; it has: {known}")

    def gateway(self, name: str) -> Node:
        """Raises UserError when no gateway has the name."""
        node = self.node(name)
        if node.role != "gateway":
            raise UserError(f"{name} is a mix, not a gateway; gateways: {', '.join(self.gateway_names())}")
        return node

    def gateway_names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes if node.role == "gateway")

    def service(self, name: str) -> Service:
        """Raises UserError when the directory lists no such service."""
        for service in self.services:
            if service.name == name:
                return service
        known = ", ".join(service.name for service in self.services) or "none"
        raise UserError(f"network {self.network} has no service {name!r}; it has: {known}")

    def node_of(self, key_id: bytes) -> Node | None:
        """The node that a Sphinx key belongs to."""
        for node in self.nodes:
            if any(key.key_id == key_id for key in node.sphinx_keys):
                return node
        return None

    def successors(self, name: str) -> tuple[str, ...]:
        """
        The nodes that ``name`` sends frames to, sorted.

        A gateway sends to the first mix of each cascade, a mix to the next in its cascades, a last mix to
        every gateway.
        """
        return tuple(sorted({after for before, after in self._links() if before == name}))

    def predecessors(self, name: str) -> tuple[str, ...]:
        """The nodes whose frames ``name`` accepts, sorted."""
        return tuple(sorted({before for before, after in self._links() if after == name}))

    def _links(self) -> Iterator[tuple[str, str]]:
        gateways = self.gateway_names()
        for first, second, last in self.cascades:
            yield from ((gateway, first) for gateway in gateways)
            yield first, second
            yield second, last
            yield from ((last, gateway) for gateway in gateways)

    def route(
        self, gateway: str, token: bytes, endpoint_public: bytes, now_s: float, rng: Random | None = None
    ) -> Route:
        """
        A path to a mailbox: a uniformly chosen cascade, the receiver's gateway, the endpoint.

        Raises UserError for an unknown gateway, or when a node's keys have run out.
        """
        rng = rng or SystemRandom()
        cascade = rng.choice(self.cascades)
        first, second, third, last = self.hops(cascade, gateway, now_s, rng)
        return Route((first, second, third, last), Token(token), endpoint_public)

    def hops(self, mixes: Sequence[str], gateway: str, now_s: float, rng: Random) -> list[Hop]:
        """
        Mixes, then a gateway, with their keys, and with delays where senders choose them.

        Raises UserError for an unknown gateway, or when a node's keys have run out.
        """
        hops = []
        for name in mixes:
            key = self.node(name).key_at(now_s)
            hops.append(Hop(KeyId(key.key_id), key.public, self.mixing.draw_delay_ms(rng)))
        last = self.gateway(gateway).key_at(now_s)
        return [*hops, Hop(KeyId(last.key_id), last.public)]

    def block_expiry_s(self, gateway: str, now_s: float) -> int:
        """When a reply block made now dies at the latest: with the first of its keys to go, Unix seconds."""
        names = {name for cascade in self.cascades for name in cascade} | {gateway}
        return min(self.node(name).key_at(now_s).accepted_until_s for name in names)
