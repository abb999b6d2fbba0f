"""
Where a wallet's secrets come from: one seed, and a counter that is never used twice.

y = PRF(seed, founding bank id, device number, purpose, counter). So a seed alone brings every coin back, and
nobody who holds one secret learns another. The *whole* bank id goes in: with a shortened one, a bank made to
collide with it could have its coins' secrets shown to the other bank.
"""

import hmac
from enum import IntEnum

from bank.formats.coin import Secret
from mixmint.keys import Label, SigningKey

SECRET_LABEL = Label("mixmint/wallet-secret/v1")
ACCOUNT_DEVICE = 0
"""The account is the member's, not the device's: every device derives the same account key."""
MOST_DEVICE = 2**16 - 1


class Purpose(IntEnum):
    """What a secret is for. Each purpose counts by itself, so a restore scans each by itself."""

    WITHDRAW = 1
    EXCHANGE = 2
    """Outputs of the wallet's own orders: exchanges, change, received coins."""
    INVOICE = 3
    """Coins that a payment request asks for."""
    ACCOUNT = 4


def derive(seed: bytes, bank: bytes, device: int, purpose: Purpose, counter: int) -> Secret:
    """
    The secret (32 bytes) with this number: HMAC-SHA256 under ``seed`` (32 bytes).

    Over label, bank id 32, device 2, purpose 1, counter 8 (big-endian).
    """
    message = message_of(bank, device, purpose) + counter.to_bytes(8)
    return Secret(hmac.digest(seed, message, "sha256"))


def message_of(bank: bytes, device: int, purpose: Purpose) -> bytes:
    """What the secrets of one purpose have in common: everything that is hashed but the counter."""
    return SECRET_LABEL.encode("ascii") + bank + device.to_bytes(2) + purpose.to_bytes(1)


def account_key(seed: bytes, bank: bytes) -> SigningKey:
    """The key pair that is the member's account at this bank."""
    return SigningKey(derive(seed, bank, ACCOUNT_DEVICE, Purpose.ACCOUNT, 0))
