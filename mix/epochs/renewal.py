"""
A node's link certificate, and the next one: announced in the directory for an epoch before it is used, so
that every peer trusts it by then.

    link.key, link.crt                the one in use
    next-link-EPOCH.key and .crt      the next one, made in that epoch

What a kill after each step leaves, and what the next start does about it (`Renewal.tidy`):

    announce   1. the next key is there           a key without a certificate: removed
               2. the next certificate is there   announced by the next descriptor
    promote    1. the certificate is in place     a key without a certificate, and that one's: put in place
               2. the key is in place             all is done
"""

from datetime import UTC, datetime
from pathlib import Path
from ssl import PEM_cert_to_DER_cert

from mixmint.errors import UserError
from mixmint.keys import replace_secret, sync_folder, write_new

LAST_TENTH = 10
"""The next one is made when this part of the validity is left."""


class Renewal:
    """
    The certificates of a node, where its settings say that they are.

    Raises UserError when they can't be read.
    """

    def __init__(self, certificate: Path, key: Path, name: str) -> None:
        self._certificate = certificate
        self._key = key
        self._name = name
        self.tidy()
        self.current = _der(certificate)

    @property
    def next(self) -> bytes:
        """DER; empty when there is none."""
        found = self._next()
        return b"" if found is None else _der(found[1])

    def tidy(self) -> None:
        """Finish what a kill left undone."""
        for key in self._key.parent.glob("next-link-*.key"):
            if self._certificate.with_name(f"{key.stem}.crt").exists():
                continue
            if _is_pair(self._certificate, key):
                _move(key, self._key)
            else:
                key.unlink()

    def turn(self, now_s: float, epoch: int, is_announced: bool) -> bool:
        """
        Announce the next certificate when it is time, or take it into use; whether something changed.

        ``epoch``: the directory's; ``is_announced``: it lists the next one.
        """
        found = self._next()
        if found is None:
            if not _is_ending(self._certificate, now_s):
                return False
            self._make(epoch, now_s)
            return True
        made, path = found
        # A whole epoch lies between: who fetches a directory once an epoch has seen it.
        if not is_announced or epoch < made + 2:
            return False
        _move(path, self._certificate)
        _move(self._key.with_name(f"{path.stem}.key"), self._key)
        self.current = _der(self._certificate)
        return True

    def _next(self) -> tuple[int, Path] | None:
        for path in sorted(self._certificate.parent.glob("next-link-*.crt")):
            number = path.stem.rpartition("-")[2]
            if number.isdecimal():
                return int(number), path
        return None

    def _make(self, epoch: int, now_s: float) -> None:
        # Only now: a daemon that announces nothing needs no X.509 library in its memory.
        from mix.certificates import make_certificate

        made = make_certificate(self._name, now_s)
        replace_secret(self._key.with_name(f"next-link-{epoch}.key"), made.key_pem)
        write_new(self._certificate.with_name(f"next-link-{epoch}.crt"), made.certificate_pem)


def _is_ending(certificate: Path, now_s: float) -> bool:
    from cryptography.x509 import load_pem_x509_certificate

    loaded = load_pem_x509_certificate(certificate.read_bytes())
    begin, end = loaded.not_valid_before_utc, loaded.not_valid_after_utc
    return datetime.fromtimestamp(now_s, UTC) > end - (end - begin) / LAST_TENTH


def _is_pair(certificate: Path, key: Path) -> bool:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    loaded = load_pem_x509_certificate(certificate.read_bytes())
    return loaded.public_key() == load_pem_private_key(key.read_bytes(), None).public_key()


def _move(path: Path, to: Path) -> None:
    try:
        path.replace(to)
        sync_folder(to.parent)
    except OSError as error:
        raise UserError(f"can't write {to}: {error.strerror}") from None


def _der(path: Path) -> bytes:
    try:
        return PEM_cert_to_DER_cert(path.read_text("ascii"))
    except (OSError, ValueError):
        raise UserError(f"can't read certificate {path}; restore it from a backup") from None
