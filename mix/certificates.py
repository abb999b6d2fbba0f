"""
The self-signed certificates of links and gateways.

Nobody vouches for them but the directory, which carries them whole; so names, chains and revocation play no
part. Only the init commands import this: a running daemon hands DER and PEM to ``ssl``.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mixmint.errors import MalformedMessage

BACKDATED = timedelta(days=30)
"""Clocks differ, and the day a key was made is nobody's business."""
VALID = timedelta(days=365 * 20)
"""Validity is the directory's to end, by no longer listing the certificate."""


@dataclass(frozen=True)
class LinkCertificate:
    """A new key pair and its certificate; ``key_pem`` is secret and always of KEY_PEM_BYTES."""

    key_pem: bytes
    certificate_pem: bytes
    certificate_der: bytes

    def __repr__(self) -> str:
        return f"LinkCertificate({len(self.certificate_der)} bytes)"


def make_certificate(name: str, now_s: float) -> LinkCertificate:
    """
    Make an Ed25519 key and a certificate signed by it.

    ``CA:FALSE``: who pins it trusts this one certificate, never another one that it might sign.
    """
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    # Midnight, so that certificates of one day look alike.
    day = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(day - BACKDATED)
        .not_valid_after(day + VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        # A node's current and next certificate have one name: OpenSSL finds the right one by the key's id.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, None)
    )
    return LinkCertificate(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.public_bytes(Encoding.PEM),
        certificate.public_bytes(Encoding.DER),
    )


def check_certificate(der: bytes) -> None:
    """
    Check a certificate before it goes into a directory.

    Raises MalformedMessage unless it is one self-signed X.509 certificate of an Ed25519 or a P-256 key that
    can't sign others.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.verify_directly_issued_by(certificate)
        public = certificate.public_key()
        limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except Exception as error:  # noqa: BLE001 - the library names no common base for what hostile DER raises
        raise MalformedMessage("certificate", type(error).__name__) from None
    good = isinstance(public, Ed25519PublicKey) or (
        isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1)
    )
    if not good or limits.ca:
        raise MalformedMessage("certificate", "neither Ed25519 nor P-256, or able to sign others")
