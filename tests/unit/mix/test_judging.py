"""What an authority takes for a good next directory, and what makes it want one."""

import os
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from mix.certificates import make_certificate
from mix.directory import Node, Service, SphinxKey, sign_descriptor, sign_directory
from mix.directory.agreement.judging import Wishes, is_due, judge, wanted
from mix.directory.belief import Belief
from mix.directory.build import Parameters, compose
from mix.directory.descriptor import Descriptor, open_descriptor
from mix.directory.document import Directory
from mix.packet.build import key_id
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import BoxKey, SigningKey
from mixmint.wire import decode, encode
from tests.unit.mix.networks import EPOCH_S, NOW_S

AUTHORITY = SigningKey.generate()
PARAMETERS = Parameters("test", tick_ms=50)
CASCADES = (("m1", "m2", "m3"), ("m3", "m2", "m4"))
DAY_S = 86_400


class Operator:
    """Somebody with a node: his identity, and the descriptors that he makes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.identity = SigningKey.generate()
        self.certificate = make_certificate(name, NOW_S).certificate_der
        self.boxes = [BoxKey.generate() for _ in range(4)]

    def descriptor(self, serial: int = 1, epochs: int = 2, **changes: object) -> Descriptor:
        start, is_gateway = NOW_S // EPOCH_S, self.name.startswith("g")
        keys = tuple(
            SphinxKey(key_id(box.public), box.public, epoch, epoch * EPOCH_S, (epoch + 1) * EPOCH_S)
            for epoch, box in zip(range(start, start + epochs), self.boxes, strict=False)
        )
        node = Node(
            name=self.name,
            role="gateway" if is_gateway else "mix",
            identity=self.identity.public,
            host="127.0.0.1",
            link_port=7000,
            client_port=7100 if is_gateway else 0,
            certificate=self.certificate,
            next_certificate=b"",
            sphinx_keys=keys,
            discard_token=bytes(15) + b"t" if is_gateway else b"",
            discard_public=self.boxes[3].public if is_gateway else b"",
        )
        return open_descriptor(sign_descriptor(self.identity, replace(node, **changes), serial))


OPERATORS = {name: Operator(name) for name in ("m1", "m2", "m3", "m4", "g1")}


def wishes(**descriptors: Descriptor) -> Wishes:
    made = {name: operator.descriptor() for name, operator in OPERATORS.items()}
    admitted = {name: operator.identity.public for name, operator in OPERATORS.items()}
    return Wishes(PARAMETERS, CASCADES, admitted, {**made, **descriptors})


def first(of: Wishes, now_s: float = NOW_S - 1) -> Belief:
    entries = [descriptor.entry for descriptor in of.descriptors.values()]
    directory = compose(entries, CASCADES, PARAMETERS, None, now_s)
    return Belief(directory, sign_directory(directory, [AUTHORITY]))


CURRENT = first(wishes())


def check(document: bytes, descriptors: tuple[bytes, ...], of: Wishes, **how: object) -> None:
    now_s = how.pop("now_s", NOW_S)
    judge(document, descriptors, of, CURRENT, now_s, **{"is_old": False, **how})  # type: ignore[arg-type] # a test's words


def test_what_one_wants_the_others_take() -> None:
    """Also some seconds later, and with descriptors of theirs that are older."""
    newer = OPERATORS["m1"].descriptor(serial=2, epochs=3)
    document, descriptors = wanted(wishes(m1=newer), CURRENT, NOW_S)
    for late_s in (-200, 0, 200):
        check(document, descriptors, wishes(), now_s=NOW_S + late_s)
    assert decode(document, Directory, 1 << 20).node("m1").sphinx_keys == newer.entry.sphinx_keys  # type: ignore[union-attr]


def spoiled(**changes: object) -> bytes:
    document, _ = wanted(wishes(), CURRENT, NOW_S)
    return encode(replace(decode(document, Directory, 1 << 20), **changes))


STRANGER = Operator("m4")


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("tick_ms", lambda: spoiled(tick_ms=51)),
        ("previous", lambda: spoiled(previous=bytes(32))),
        ("sequence", lambda: spoiled(sequence=7)),
        ("cascades", lambda: spoiled(cascades=CASCADES[:1])),
        ("valid_until_s", lambda: spoiled(valid_until_s=NOW_S + 400 * DAY_S)),
        ("grace_s", lambda: spoiled(grace_s=1)),
        (
            "nodes",
            lambda: spoiled(
                nodes=tuple(
                    replace(node, link_port=6666) if node.name == "m1" else node
                    for node in CURRENT.directory.nodes
                )
            ),
        ),
        ("nodes", lambda: spoiled(nodes=(*CURRENT.directory.nodes, STRANGER.descriptor().entry)[1:])),
        ("time", lambda: spoiled(valid_from_s=NOW_S - 3600 - 301)),
        ("time", lambda: spoiled(valid_from_s=NOW_S - 3600 + 301)),
    ],
)
def test_nothing_is_the_proposers_to_choose(reason: str, make: Callable[[], bytes]) -> None:
    descriptors = wanted(wishes(), CURRENT, NOW_S)[1]
    with pytest.raises(MalformedMessage, match=f"{reason}|twice|cascade"):
        check(make(), descriptors, wishes())


def test_nobody_is_left_out_or_held_back() -> None:
    """A proposer who drops a node, or uses an old descriptor of it, is refused by whoever knows better."""
    few = wishes()
    without = Wishes(
        PARAMETERS, CASCADES, few.admitted, {n: d for n, d in few.descriptors.items() if n != "m4"}
    )
    document, descriptors = wanted(without, CURRENT, NOW_S)
    assert decode(document, Directory, 1 << 20).cascades == CASCADES[:1]
    with pytest.raises(MalformedMessage, match="m4 is missing"):
        check(document, descriptors, wishes())
    old = wanted(wishes(), CURRENT, NOW_S)
    with pytest.raises(MalformedMessage, match="m1 is missing, or older"):
        check(*old, wishes(m1=OPERATORS["m1"].descriptor(serial=2)))
    # What may be decided already isn't refused for what came since; and it may be late, but never early.
    check(*old, wishes(m1=OPERATORS["m1"].descriptor(serial=2)), is_old=True, now_s=NOW_S + 4_000)
    with pytest.raises(MalformedMessage, match="time"):
        check(*old, wishes(), is_old=True, now_s=NOW_S - 400)


def test_who_isnt_admitted_isnt_in_it() -> None:
    """Neither under a new name nor under another's."""
    impostor = Operator("m4").descriptor(serial=9)
    document, descriptors = wanted(
        Wishes(
            PARAMETERS,
            CASCADES,
            {**wishes().admitted, "m4": impostor.entry.identity},
            {**wishes().descriptors, "m4": impostor},
        ),
        CURRENT,
        NOW_S,
    )
    with pytest.raises(MalformedMessage, match="m4 isn't admitted"):
        check(document, descriptors, wishes())
    twice = (*wanted(wishes(), CURRENT, NOW_S)[1], OPERATORS["m1"].descriptor(serial=5).signed)
    with pytest.raises(MalformedMessage, match="m1 is there twice"):
        check(wanted(wishes(), CURRENT, NOW_S)[0], twice, wishes())


def test_a_certificate_that_is_none_is_refused() -> None:
    broken = wishes(m1=OPERATORS["m1"].descriptor(certificate=os.urandom(200)))
    document, descriptors = wanted(broken, CURRENT, NOW_S)
    with pytest.raises(MalformedMessage, match="certificate"):
        check(document, descriptors, broken)


def test_a_node_whose_keys_have_run_out_leaves_and_its_cascade_with_it() -> None:
    """The others go on; with too few left there is no directory."""
    later = NOW_S + EPOCH_S
    others = {n: o.descriptor(serial=2, epochs=3) for n, o in OPERATORS.items() if n != "m4"}
    gone = wishes(m4=OPERATORS["m4"].descriptor(epochs=1), **others)
    document, _ = wanted(gone, CURRENT, later)
    directory = decode(document, Directory, 1 << 20)
    assert [node.name for node in directory.nodes] == ["g1", "m1", "m2", "m3"]
    assert directory.cascades == CASCADES[:1]
    with pytest.raises(UserError, match="makes no directory"):
        wanted(Wishes(PARAMETERS, CASCADES, {}, {}), CURRENT, NOW_S)


def test_one_is_due_when_something_changed_or_half_its_time_is_over() -> None:
    assert not is_due(wishes(), CURRENT, NOW_S)
    assert is_due(wishes(m1=OPERATORS["m1"].descriptor(serial=2, epochs=3)), CURRENT, NOW_S)
    assert not is_due(wishes(), CURRENT, NOW_S + 6 * 3600)
    assert is_due(wishes(), CURRENT, CURRENT.directory.valid_from_s + 7 * DAY_S)
    other = Wishes(Parameters("test", tick_ms=60), CASCADES, wishes().admitted, wishes().descriptors)
    assert is_due(other, CURRENT, NOW_S)
    named = Service(
        "echo", "echo", AUTHORITY.public, "g1", bytes(16), BoxKey.generate().public, bytes(32), ""
    )
    service = open_descriptor(sign_descriptor(AUTHORITY, named, 1))
    with_service = Wishes(
        PARAMETERS,
        CASCADES,
        {**wishes().admitted, "echo": AUTHORITY.public},
        {**wishes().descriptors, "echo": service},
    )
    assert is_due(with_service, CURRENT, NOW_S)
    check(*wanted(with_service, CURRENT, NOW_S), with_service)


@pytest.mark.parametrize(
    "changes",
    [{"link_port": 0}, {"client_port": 7}, {"certificate": b""}, {"discard_token": bytes(16)}],
    ids=["no port", "a mix with a client port", "no certificate", "a mix with a discard endpoint"],
)
def test_a_node_that_is_wrong_in_itself_is_left_out_and_stops_nobody(changes: dict[str, object]) -> None:
    """Handed in at run, it would keep the network from every new directory; also with other epochs."""
    for spoilt in (
        OPERATORS["m4"].descriptor(2, **changes),
        OPERATORS["m4"].descriptor(2, sphinx_keys=(_in_other_epochs(OPERATORS["m4"].boxes[0]),)),
    ):
        ours = wishes(m4=spoilt)
        document, descriptors = wanted(ours, CURRENT, NOW_S)
        assert {node.name for node in decode(document, Directory, 1 << 20).nodes} == {"m1", "m2", "m3", "g1"}
        check(document, descriptors, ours)


def _in_other_epochs(box: BoxKey) -> SphinxKey:
    start_s = NOW_S - 30
    return SphinxKey(
        key_id(box.public), box.public, start_s // 60, start_s // 60 * 60, start_s // 60 * 60 + 600
    )
