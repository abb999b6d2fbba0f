"""
TLS contexts. TLS 1.3 only; the directory's certificates are the only trust anchors, one set per socket.

Certificates are self-signed and ``CA:FALSE``, so trusting one means trusting that one key and nothing it
might sign. Names play no part: the directory says which certificate answers at which address.
"""

import ssl
from collections.abc import Iterable
from pathlib import Path

from mix.directory import Node
from mix.links.front import Refused
from mixmint.errors import UserError
from mixmint.keys import read_secret

KEY_PEM_BYTES = 119
"""An Ed25519 private key in PKCS #8, PEM: always this long."""


def link_server_context(
    certificate: Path, key: Path, peers: Iterable[Node], refused: Refused
) -> ssl.SSLContext:
    """The link port: only ``peers``, shown by their certificates, get through the handshake."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    _trust(context, peers)
    return _counted(context, refused)


def client_port_context(certificate: Path, key: Path, refused: Refused) -> ssl.SSLContext:
    """A gateway's client port: we show our certificate, clients show none."""
    return _counted(_context(ssl.PROTOCOL_TLS_SERVER, certificate, key), refused)


def link_client_context(certificate: Path, key: Path, peer: Node) -> ssl.SSLContext:
    """A link's sending side: both sides show certificates; only ``peer``'s is trusted."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, certificate, key)
    _trust(context, [peer])
    return context


def add_trust(context: ssl.SSLContext, peers: Iterable[Node], pair: tuple[Path, Path]) -> None:
    """
    Trust these peers, too, from the next handshake on, and show our certificate and key as they are now.

    Nobody is trusted less: who may speak is decided by the bytes of his certificate (server.py).
    """
    _show(context, *pair)
    _trust(context, peers)


def pinned_context(gateway: Node) -> ssl.SSLContext:
    """An endpoint's side: only ``gateway``'s certificate is trusted, and we show none."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    _trust(context, [gateway])
    return context


def _context(side: int, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The pinned bytes say who it is; a name in them would be a second, weaker claim.
    context.check_hostname = False
    if side == ssl.PROTOCOL_TLS_CLIENT:
        context.verify_mode = ssl.CERT_REQUIRED
    else:
        # No resumption: a ticket would link a client's connections, also after it has changed its address.
        context.num_tickets = 0
    if certificate is not None and key is not None:
        _show(context, certificate, key)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    read_secret(key, KEY_PEM_BYTES)
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise UserError(
            f"{certificate} and {key} don't make a pair ({error.strerror}); restore both from a backup"
        ) from None


def _trust(context: ssl.SSLContext, peers: Iterable[Node]) -> None:
    for peer in peers:
        for der in peer.certificates:
            try:
                context.load_verify_locations(cadata=der)
            except ssl.SSLError:
                raise UserError(
                    f"the directory's certificate of {peer.name} can't be read; get a good directory file"
                ) from None


def _counted(context: ssl.SSLContext, refused: Refused) -> ssl.SSLContext:
    class Counted(ssl.SSLObject):
        """Handshakes that fail end inside the event loop, unseen; this is where they can be counted."""

        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError:
                refused("handshake")
                raise

    context.sslobject_class = Counted
    return context
