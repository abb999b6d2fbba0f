"""
The network file: which directory a daemon or a member believes, and whose signatures make it believable.

It is the root of all trust in the network, so it comes to a member by a way he trusts: with the program, or
from a person.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from mix.directory.document import Directory
from mix.directory.verify import verify
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import PUBLIC_BYTES, write_new
from mixmint.settings import Settings, load

SourceUrl = Annotated[str, Meta(max_length=256, pattern=r"^https?://[A-Za-z0-9.:\-\[\]/_~]+\Z")]
AuthorityHex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class NetworkFile(Settings, frozen=True, kw_only=True):
    directory: Annotated[Path, Meta(description="the signed directory file; relative to this file")]
    authorities: Annotated[
        tuple[AuthorityHex, ...],
        Meta(min_length=1, description="public keys (64 hex digits) whose signatures count"),
    ]
    sources: Annotated[
        tuple[SourceUrl, ...],
        Meta(
            max_length=32,
            description="where newer directories are fetched (authorities, mirrors, a board), as URLs; "
            "who serves them can't change them. None: the file counts, and is read again when it changes",
        ),
    ] = ()
    threshold: Annotated[
        int,
        Meta(ge=1, description="how many of them must have signed; fewer than all makes a lost key harmless"),
    ] = 1


@dataclass(frozen=True, slots=True)
class Authorities:
    """The network's authorities: their public keys (32 bytes each), and how many of them must sign."""

    keys: tuple[bytes, ...]
    threshold: int


def load_authorities(path: Path) -> Authorities:
    """
    Whose signatures count in the network that the file at ``path`` names.

    Raises UserError, one line, when it is missing or isn't good.
    """
    network = load_network_file(path)
    return Authorities(tuple(bytes.fromhex(one) for one in network.authorities), network.threshold)


def load_network(path: Path, now_s: float) -> Directory:
    """
    Read the network file at ``path`` and the directory it names, and verify it.

    Raises UserError, one line, when either is missing or isn't good.
    """
    network, authorities = load_network_file(path), load_authorities(path)
    try:
        signed = network.directory.read_bytes()
    except OSError as error:
        raise UserError(
            f"can't read the directory {network.directory}: {error.strerror}; get it from its authority"
        ) from None
    try:
        return verify(signed, authorities.keys, authorities.threshold, now_s)
    except MalformedMessage as error:
        raise UserError(
            f"the directory {network.directory} is refused ({error}); get a good one from its authority"
        ) from None


def load_network_file(path: Path) -> NetworkFile:
    """The network file's settings. Raises UserError, one line."""
    if not path.exists():
        raise UserError(
            f"network file {path} is missing; get it from the directory's authority, with the directory"
        )
    network = load(path, NetworkFile)
    if network.threshold > len(set(network.authorities)):
        raise UserError(f"{path}: threshold {network.threshold} of {len(network.authorities)} authorities")
    return network


def write_network(
    path: Path,
    directory: Path,
    authorities: tuple[bytes, ...],
    threshold: int,
    sources: tuple[str, ...] = (),
) -> None:
    """
    Write a new network file; the directory's path is written relative to it where it can be.

    Raises UserError if it exists.
    """
    home = path.resolve().parent
    target = directory.resolve()
    shown = target.relative_to(home) if target.is_relative_to(home) else target
    if any(len(one) != PUBLIC_BYTES for one in authorities):
        raise UserError("an authority's public key is 32 bytes: 64 hex digits")
    keys = "".join(f'    "{one.hex()}",\n' for one in authorities)
    urls = "".join(f'    "{one}",\n' for one in sources)
    write_new(
        path,
        (
            "# Which directory to believe, and whose signatures make it believable.\n"
            f'directory = "{shown}"\n'
            f"authorities = [\n{keys}]\n"
            f"threshold = {threshold}\n" + (f"sources = [\n{urls}]\n" if urls else "")
        ).encode(),
    )
