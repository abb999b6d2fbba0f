"""docs/spec/wallet-seed.md: its vectors, read by a second implementation that was written from the page."""

import hmac
import re
from hashlib import sha256
from pathlib import Path

from nacl.bindings import crypto_sign_seed_keypair

from bank.formats.coin import coin_id
from wallet.derivation import Purpose, account_key, derive
from wallet.restoring.words import SeedWords

PAGE = (Path(__file__).parents[4] / "docs" / "spec" / "wallet-seed.md").read_text()
SEED, BANK = bytes(range(32)), b"\x0b" * 32


def second(device: int, purpose: int, counter: int) -> bytes:
    """Section 2."""
    message = b"mixmint/wallet-secret/v1" + BANK
    message += device.to_bytes(2) + purpose.to_bytes(1) + counter.to_bytes(8)
    return hmac.new(SEED, message, "sha256").digest()


def vector(name: str) -> str:
    found = re.search(rf"^    {re.escape(name)} +(\S.*(?:\n {{10,}}\S.*)*)", PAGE, re.MULTILINE)
    assert found, name
    return " ".join(found[1].split())


def test_page_has_the_words() -> None:
    """Section 1."""
    assert vector("words") == " ".join(SeedWords.of(SEED).words)


def test_page_has_the_secrets() -> None:
    """Section 2: ours, the page's and the second one's are one."""
    for place in ((0, 1, 0), (1, 2, 300), (0, 3, 2**20)):
        device, purpose, counter = place
        found = vector(str(place))
        assert found == derive(SEED, BANK, device, Purpose(purpose), counter).hex()
        assert found == second(*place).hex()
    public, _ = crypto_sign_seed_keypair(second(0, 4, 0))
    assert vector("account key") == account_key(SEED, BANK).public.hex() == public.hex()


def test_a_coins_id_is_made_as_the_page_says() -> None:
    """From y to the board."""
    public, _ = crypto_sign_seed_keypair(second(0, 1, 0))
    assert coin_id(public) == sha256(b"mixmint/coin/v1" + public).digest()
