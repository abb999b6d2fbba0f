"""Building a directory from descriptors, and showing one: the operator's side. The reader's is verify.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mix.certificates import check_certificate
from mix.directory.descriptor import Descriptor, open_descriptor
from mix.directory.document import EPOCH_S, MIX_COVER, TIMED_POOL, Cover, Directory, Mixing, Node, Service
from mix.directory.verify import MOST_BYTES, SignedDirectory, directory_hash, sign_directory, verify
from mix.packet.geometry import BODY_BYTES
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import SigningKey
from mixmint.wire import decode, encode

BACKDATED_S = 3600
DAY_S = 86400


@dataclass(frozen=True)
class Parameters:
    """What the authorities decide for the whole network."""

    network: str
    tick_ms: int = 10_000
    mixing: Mixing = TIMED_POOL
    cover: Cover = MIX_COVER
    epoch_s: int = EPOCH_S
    valid_days: int = 14
    grace_days: int = 7


def build(
    descriptors: Sequence[tuple[str, bytes]],
    cascades: Sequence[tuple[str, ...]],
    authorities: Sequence[SigningKey],
    parameters: Parameters,
    previous: bytes | None,
    now_s: float,
    successors: Mapping[str, bytes] | None = None,
) -> tuple[bytes, int]:
    """
    A signed directory and its number of nodes; ``descriptors`` as (file name, bytes); ``successors`` as for
    ``read_descriptor``: such a service stays who it was in the directory before.

    What it returns has passed every check that a reader makes, and those of the certificates besides.

    Raises UserError, naming the file or the check.
    """
    nodes: list[Node] = []
    services: list[Service] = []
    before = _previous(previous)
    for name, data in descriptors:
        entry = read_well(name, data, successors).entry
        if isinstance(entry, Node):
            nodes.append(entry)
        else:
            services.append(entry)
    _check_successors(before, services, successors or {})
    directory = compose([*nodes, *services], cascades, parameters, previous, now_s)
    signed = sign_directory(directory, authorities)
    try:
        verify(signed, [key.public for key in authorities], len(authorities), now_s)
    except MalformedMessage as error:
        hint = "a directory needs 3 mixes in each cascade, 1 gateway, and names of a-z, 0-9 and -"
        raise UserError(f"readers would refuse this directory ({error}); {hint}") from None
    return signed, len(nodes)


def compose(
    entries: Sequence[Node | Service],
    cascades: Sequence[tuple[str, ...]],
    parameters: Parameters,
    previous: bytes | None,
    now_s: float,
) -> Directory:
    """
    The directory of these nodes and services, nothing checked; ``previous``: the signed one that it follows.

    Raises UserError when a node has no key for now, or the previous one can't be read.
    """
    nodes = [entry for entry in entries if isinstance(entry, Node)]
    services = [entry for entry in entries if isinstance(entry, Service)]
    before = _previous(previous)
    valid_from = int(now_s) - BACKDATED_S
    return Directory(
        network=parameters.network,
        sequence=before.sequence + 1 if before else 0,
        previous=directory_hash(previous) if previous else bytes(32),
        epoch=max((node.key_at(now_s).epoch for node in nodes), default=0),
        valid_from_s=valid_from,
        valid_until_s=valid_from + parameters.valid_days * DAY_S,
        grace_s=parameters.grace_days * DAY_S,
        epoch_s=parameters.epoch_s,
        tick_ms=parameters.tick_ms,
        mixing=parameters.mixing,
        cover=parameters.cover,
        body_bytes=BODY_BYTES,
        nodes=tuple(sorted(nodes, key=lambda node: node.name)),
        cascades=tuple(cascades),  # type: ignore[arg-type] # their length is checked by verify, below
        services=tuple(sorted(services, key=lambda service: service.name)),
    )


def _check_successors(
    before: Directory | None, services: Sequence[Service], successors: Mapping[str, bytes]
) -> None:
    """A successor has no key of the identity's, so he can't be believed about what it is."""
    identities = {(each.name, each.kind): each.identity for each in before.services} if before else {}
    for name in successors:
        entry = next((each for each in services if each.name == name), None)
        if entry is None or identities.get((entry.name, entry.kind)) != entry.identity:
            raise UserError(
                f"--successor {name}: its descriptor must be here, and name the service as the --previous "
                "directory does"
            )


def read_well(name: str, data: bytes, successors: Mapping[str, bytes] | None = None) -> Descriptor:
    """
    A descriptor, its certificates checked; ``name``: what to call it. Raises UserError, one line.
    """
    try:
        descriptor = open_descriptor(data, successors or {})
        if isinstance(descriptor.entry, Node):
            for der in descriptor.entry.certificates:
                check_certificate(der)
    except MalformedMessage as error:
        raise UserError(f"{name} is no good descriptor ({error}); ask its operator for a new one") from None
    return descriptor


def _previous(signed: bytes | None) -> Directory | None:
    if signed is None:
        return None
    try:
        return decode(decode(signed, SignedDirectory, MOST_BYTES).document, Directory, MOST_BYTES)
    except MalformedMessage as error:
        raise UserError(f"the previous directory can't be read ({error})") from None


def show(signed: bytes, *, as_json: bool) -> str:
    """A directory for people, or as JSON. Nothing in it is checked."""
    try:
        message = decode(signed, SignedDirectory, MOST_BYTES)
        directory = decode(message.document, Directory, MOST_BYTES)
    except MalformedMessage as error:
        raise UserError(f"this is no directory ({error})") from None
    view = _view(directory, message)
    if as_json:
        return json.dumps(view, indent=2)
    lines = [f"{key}: {value}" for key, value in view.items() if not isinstance(value, list)]
    for key, value in view.items():
        if isinstance(value, list):
            lines += [f"{key}:", *(f"  {_line(one)}" for one in value)]
    return "\n".join(lines)


def _line(entry: object) -> str:
    return (
        "  ".join(f"{key}={value}" for key, value in entry.items()) if isinstance(entry, dict) else str(entry)
    )


def _numbers(parameters: Mixing | Cover) -> str:
    """What isn't 0, in one line."""
    named = ((name, getattr(parameters, name)) for name in parameters.__struct_fields__)
    return " ".join(f"{name}={value}" for name, value in named if value)


def _view(directory: Directory, message: SignedDirectory) -> dict[str, object]:
    return {
        "network": directory.network,
        "sequence": directory.sequence,
        "epoch": directory.epoch,
        "valid_from_s": directory.valid_from_s,
        "valid_until_s": directory.valid_until_s,
        "grace_s": directory.grace_s,
        "epoch_s": directory.epoch_s,
        "tick_ms": directory.tick_ms,
        "mixing": _numbers(directory.mixing),
        "cover": _numbers(directory.cover),
        "bytes": len(encode(message)),
        "signed_by": [one.authority.hex() for one in message.signatures],
        "cascades": ["-".join(cascade) for cascade in directory.cascades],
        "nodes": [
            {
                "name": node.name,
                "role": node.role,
                "address": f"{node.host}:{node.link_port}",
                "client_port": node.client_port,
                "epochs": [key.epoch for key in node.sphinx_keys],
            }
            for node in directory.nodes
        ],
        "services": [
            {"name": one.name, "kind": one.kind, "gateway": one.gateway, "url": one.url}
            for one in directory.services
        ],
    }
