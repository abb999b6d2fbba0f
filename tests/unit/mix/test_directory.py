"""The directory: every numbered check of verify(), seen to refuse."""

import logging
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest

from mix.directory import (
    Authorities,
    Directory,
    Node,
    Service,
    SignedDirectory,
    directory_hash,
    load_authorities,
    load_network,
    read_descriptor,
    sign_descriptor,
    sign_directory,
    verify,
    write_network,
)
from mix.directory.build import Parameters, build
from mix.packet.build import key_id
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import SigningKey
from mixmint.wire import decode, encode
from tests.unit.mix.networks import EPOCH_S, NOW_S, make_network

NETWORK = make_network()
AUTHORITY = NETWORK.authority


def service(gateway: str = "g1") -> Service:
    identity = SigningKey(bytes(32))
    return Service("echo", "echo", identity.public, gateway, bytes(16), bytes([9]) + bytes(31), bytes(32), "")


def checked(directory: Directory, now_s: float = NOW_S) -> Directory:
    return verify(sign_directory(directory, [AUTHORITY]), [AUTHORITY.public], 1, now_s)


def with_node(which: str, **changes: object) -> Directory:
    nodes = tuple(
        msgspec.structs.replace(node, **changes) if node.name == which else node
        for node in NETWORK.directory.nodes
    )
    return msgspec.structs.replace(NETWORK.directory, nodes=nodes)


def with_key(**changes: object) -> Directory:
    node = NETWORK.directory.node("m1")
    first = msgspec.structs.replace(node.sphinx_keys[0], **changes)
    return with_node("m1", sphinx_keys=(first, *node.sphinx_keys[1:]))


def test_a_good_directory_is_read_back() -> None:
    """What an authority signed is what a reader gets."""
    assert checked(NETWORK.directory) == NETWORK.directory


def test_too_few_signatures_are_refused() -> None:
    """k of n: strangers don't count, and one authority doesn't count twice."""
    other, stranger = SigningKey.generate(), SigningKey.generate()
    signed = sign_directory(NETWORK.directory, [AUTHORITY, stranger])
    both = [AUTHORITY.public, other.public]
    with pytest.raises(MalformedMessage, match="1 good signatures of 2"):
        verify(signed, both, 2, NOW_S)
    assert verify(signed, both, 1, NOW_S)
    assert verify(sign_directory(NETWORK.directory, [AUTHORITY, other]), both, 2, NOW_S)
    message = decode(signed, SignedDirectory, 1 << 20)
    doubled = encode(SignedDirectory(message.document, (message.signatures[0], message.signatures[0])))
    with pytest.raises(MalformedMessage, match="twice"):
        verify(doubled, both, 2, NOW_S)


def test_a_bad_signature_of_an_authority_refuses_the_file() -> None:
    """Even when enough others are good: an honest writer never makes one."""
    other = SigningKey.generate()
    message = decode(sign_directory(NETWORK.directory, [AUTHORITY, other]), SignedDirectory, 1 << 20)
    spoiled = tuple(
        msgspec.structs.replace(one, signature=bytes(64)) if one.authority == other.public else one
        for one in message.signatures
    )
    with pytest.raises(MalformedMessage, match="bad signature"):
        verify(encode(SignedDirectory(message.document, spoiled)), [AUTHORITY.public, other.public], 1, NOW_S)


def test_no_changed_byte_passes() -> None:
    """Any flipped bit ends as MalformedMessage, never as another exception or another directory."""
    signed = NETWORK.signed
    rng = Random(1)
    for _ in range(300):
        position = rng.randrange(len(signed))
        changed = bytearray(signed)
        changed[position] ^= 1 << rng.randrange(8)
        with pytest.raises(MalformedMessage):
            verify(bytes(changed), [AUTHORITY.public], 1, NOW_S)
    with pytest.raises(MalformedMessage):
        verify(signed[:-1], [AUTHORITY.public], 1, NOW_S)


def test_time_and_grace(caplog: pytest.LogCaptureFixture) -> None:
    """Valid, then usable with a warning, then refused; and not before its time, but for a clock's skew."""
    until, grace = NETWORK.directory.valid_until_s, NETWORK.directory.grace_s
    with caplog.at_level(logging.WARNING, "mix.directory"):
        assert checked(NETWORK.directory, until - 1)
        assert not caplog.records
        assert checked(NETWORK.directory, until)
        assert "expired" in caplog.text
    with pytest.raises(MalformedMessage, match="expired"):
        checked(NETWORK.directory, until + grace)
    start = NETWORK.directory.valid_from_s
    assert checked(NETWORK.directory, start - 299)
    with pytest.raises(MalformedMessage, match="clock"):
        checked(NETWORK.directory, start - 301)


def with_mixing(**changes: object) -> Directory:
    mixing = msgspec.structs.replace(NETWORK.directory.mixing, **changes)
    return msgspec.structs.replace(NETWORK.directory, mixing=mixing)


def test_each_strategy_has_its_numbers() -> None:
    """The complement of the clauses below: numbers that fit are taken."""
    rest = {"pool_minimum": 0, "pool_permille": 0}
    for good in (
        {},
        {"strategy": "threshold", "pool_permille": 0, "threshold": 30, "longest_ms": 60_000},
        {"strategy": "poisson", "delay_ms": 2_000, "most_delay_ms": 60_000, **rest},
    ):
        assert checked(with_mixing(**good))


M1 = NETWORK.directory.node("m1")
G1 = NETWORK.directory.node("g1")
SMALL_ORDER = bytes([1]) + bytes(31)
NOT_CANONICAL = bytes([0xFF]) * 31 + bytes([0x7F])


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("parameters", lambda: msgspec.structs.replace(NETWORK.directory, body_bytes=1024)),
        ("twice", lambda: with_node("m2", name="m1")),
        ("twice", lambda: with_node("m2", identity=M1.identity)),
        ("twice", lambda: with_node("m2", certificate=M1.certificate)),
        ("twice", lambda: with_node("m2", next_certificate=M1.certificate)),
        ("twice", lambda: with_node("m2", sphinx_keys=M1.sphinx_keys)),
        ("node", lambda: with_node("m1", certificate=b"")),
        ("node", lambda: with_node("m1", link_port=0)),
        ("node", lambda: with_node("m1", client_port=9)),
        ("node", lambda: with_node("g1", client_port=0)),
        ("node", lambda: with_node("g1", discard_token=b"")),
        ("node", lambda: with_node("g1", discard_public=b"short")),
        ("node", lambda: with_node("m1", discard_token=G1.discard_token)),
        ("key", lambda: with_key(key_id=bytes(16))),
        ("key", lambda: with_key(public=bytes(32))),
        ("key", lambda: with_key(public=SMALL_ORDER, key_id=key_id(SMALL_ORDER))),
        ("key", lambda: with_key(public=NOT_CANONICAL, key_id=key_id(NOT_CANONICAL))),
        ("key", lambda: with_node("g1", discard_public=bytes(32))),
        (
            "key",
            lambda: msgspec.structs.replace(
                NETWORK.directory,
                services=(msgspec.structs.replace(service(), endpoint_public=SMALL_ORDER),),
            ),
        ),
        ("key", lambda: with_key(not_after_s=M1.sphinx_keys[0].not_before_s)),
        ("key", lambda: with_key(not_after_s=M1.sphinx_keys[0].not_after_s + 1)),
        ("key", lambda: with_key(epoch=M1.sphinx_keys[0].epoch - 1)),
        ("key", lambda: msgspec.structs.replace(NETWORK.directory, epoch_s=3600)),
        ("parameters", lambda: with_mixing(pool_permille=0)),
        ("parameters", lambda: with_mixing(delay_ms=1)),
        ("parameters", lambda: with_mixing(most_delay_ms=1)),
        ("parameters", lambda: with_mixing(strategy="threshold", pool_permille=0, threshold=0, longest_ms=9)),
        ("parameters", lambda: with_mixing(strategy="threshold", pool_permille=0, threshold=9)),
        ("parameters", lambda: with_mixing(strategy="poisson", pool_minimum=0, pool_permille=0)),
        ("parameters", lambda: with_mixing(strategy="poisson", delay_ms=9, most_delay_ms=9)),
        ("key", lambda: with_node("m1", sphinx_keys=M1.sphinx_keys[::-1])),
        ("cascade", lambda: msgspec.structs.replace(NETWORK.directory, cascades=(("m1", "m2", "m2"),))),
        ("cascade", lambda: msgspec.structs.replace(NETWORK.directory, cascades=(("m1", "m2", "g1"),))),
        ("cascade", lambda: msgspec.structs.replace(NETWORK.directory, cascades=(("m1", "m2", "m9"),))),
        ("service", lambda: msgspec.structs.replace(NETWORK.directory, services=(service("m1"),))),
        ("twice", lambda: msgspec.structs.replace(NETWORK.directory, services=(service(), service()))),
        ("encoding", lambda: with_node("m1", name="M 1")),
        ("encoding", lambda: with_node("m1", name="m1\n")),
        ("encoding", lambda: with_node("m1", host="a/b")),
        ("encoding", lambda: msgspec.structs.replace(NETWORK.directory, tick_ms=-1)),
    ],
)
def test_a_clause_broken_is_refused(reason: str, make: Callable[[], Directory]) -> None:
    """Signed by the authority, and refused all the same."""
    with pytest.raises(MalformedMessage) as refused:
        checked(make())
    assert refused.value.reason == reason


def test_routes_are_cascade_then_gateway_with_current_keys() -> None:
    """A route names the keys that are current at the given time, and the receiver's mailbox."""
    directory = NETWORK.directory
    for now_s, which in ((NOW_S, 0), (NOW_S + EPOCH_S, 1)):
        route = directory.route("g2", b"t" * 16, b"e" * 32, now_s)
        names = [node.name for hop in route.hops if (node := directory.node_of(hop.key_id))]
        assert names == ["m1", "m2", "m3", "g2"]
        assert [hop.key_id for hop in route.hops] == [
            directory.node(name).sphinx_keys[which].key_id for name in names
        ]
        assert (route.token, route.endpoint_public) == (b"t" * 16, b"e" * 32)
    with pytest.raises(UserError, match="not a gateway"):
        directory.route("m1", b"t" * 16, b"e" * 32, NOW_S)
    with pytest.raises(UserError, match="no node 'g9'"):
        directory.route("g9", b"t" * 16, b"e" * 32, NOW_S)


def test_keys_are_accepted_one_epoch_around_their_own() -> None:
    """Previous, current and next; a reply block dies with the first of its keys."""
    key = M1.sphinx_keys[0]
    assert not key.is_accepted(key.not_before_s - EPOCH_S - 1)
    assert key.is_accepted(key.not_before_s - EPOCH_S)
    assert key.is_accepted(key.not_after_s + EPOCH_S - 1)
    assert not key.is_accepted(key.not_after_s + EPOCH_S)
    assert NETWORK.directory.block_expiry_s("g1", NOW_S) == key.not_after_s + EPOCH_S
    newest = M1.sphinx_keys[-1]
    assert M1.key_at(newest.not_after_s + 1) == newest
    with pytest.raises(UserError, match="newer directory"):
        M1.key_at(newest.accepted_until_s)


def test_links_follow_the_cascades() -> None:
    """Who may send frames to whom."""
    directory = NETWORK.directory
    assert directory.successors("g1") == ("m1",)
    assert directory.predecessors("m1") == ("g1", "g2")
    assert directory.predecessors("m2") == ("m1",)
    assert directory.successors("m3") == ("g1", "g2")
    assert directory.predecessors("g2") == ("m3",)


def test_a_descriptor_is_its_identitys_word() -> None:
    """A node's or a service's entry can't be made, or changed, by somebody else."""
    entry: Node | Service
    for entry, identity in ((M1, NETWORK.identities["m1"]), (service(), SigningKey(bytes(32)))):
        data = sign_descriptor(identity, entry)
        assert read_descriptor(data) == entry
        with pytest.raises(MalformedMessage):
            read_descriptor(sign_descriptor(SigningKey.generate(), entry))
        with pytest.raises(MalformedMessage):
            read_descriptor(data[:-1])


def test_a_network_file_leads_to_the_directory(tmp_path: Path) -> None:
    """What is written can be loaded; what was tampered with, or is missing, is one line for a person."""
    (tmp_path / "directory").write_bytes(NETWORK.signed)
    file = tmp_path / "network.toml"
    write_network(file, tmp_path / "directory", (AUTHORITY.public,), 1)
    assert load_network(file, NOW_S) == NETWORK.directory
    assert load_authorities(file) == Authorities((AUTHORITY.public,), 1)
    with pytest.raises(UserError, match="exists already"):
        write_network(file, tmp_path / "directory", (AUTHORITY.public,), 1)
    with pytest.raises(UserError, match=r"directory .* is refused \(expired"):
        load_network(file, NOW_S + 10**8)
    (tmp_path / "directory").write_bytes(NETWORK.signed[:-1] + b"x")
    with pytest.raises(UserError, match="is refused"):
        load_network(file, NOW_S)
    (tmp_path / "directory").unlink()
    with pytest.raises(UserError, match="can't read the directory"):
        load_network(file, NOW_S)


def test_a_threshold_above_the_authorities_is_refused(tmp_path: Path) -> None:
    """The same key twice is one authority: else one signer would be taken for two."""
    file = tmp_path / "network.toml"
    write_network(file, tmp_path / "directory", (AUTHORITY.public,) * 2, 2)
    for load in (load_authorities, lambda path: load_network(path, NOW_S)):
        with pytest.raises(UserError, match="threshold 2"):
            load(file)


def test_directories_are_chained_by_hash() -> None:
    """The hash covers the document, so a further signature doesn't break the chain."""
    other = SigningKey.generate()
    alone, both = NETWORK.signed, sign_directory(NETWORK.directory, [AUTHORITY, other])
    assert directory_hash(alone) == directory_hash(both)
    assert directory_hash(alone) != directory_hash(
        sign_directory(msgspec.structs.replace(NETWORK.directory, sequence=1), [AUTHORITY])
    )


def test_building_refuses_what_readers_would_refuse() -> None:
    """The operator hears it, not the members; a descriptor's certificate is looked at too."""
    descriptors = [
        (node.name, sign_descriptor(NETWORK.identities[node.name], node)) for node in NETWORK.directory.nodes
    ]
    with pytest.raises(UserError, match=r"m1 is no good descriptor \(certificate"):
        build(descriptors, [("m1", "m2", "m3")], [AUTHORITY], Parameters("test"), None, NOW_S)
