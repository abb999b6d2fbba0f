"""The seed as words: BIP-39's own vectors, a second reader, and what a tired person types."""

import os
from hashlib import sha256
from pathlib import Path

import mnemonic
import pytest

from mixmint.errors import FatalError, UserError
from wallet.restoring.words import SeedWords

SEED = bytes(range(32))

VECTORS = (
    # From BIP-39's test vectors (trezor/python-mnemonic, vectors.json), those of 256 bits.
    ("00" * 32, "abandon " * 23 + "art"),
    ("7f" * 32, "legal winner thank year wave sausage worth useful " * 2 + "legal winner thank year wave "
     "sausage worth title"),
    ("80" * 32, "letter advice cage absurd amount doctor acoustic avoid " * 2 + "letter advice cage absurd "
     "amount doctor acoustic bless"),
    ("ff" * 32, "zoo " * 23 + "vote"),
)  # fmt: skip


@pytest.mark.parametrize(("seed", "words"), VECTORS)
def test_words_are_those_of_bip_39(seed: str, words: str) -> None:
    """Any other program that knows BIP-39 reads them."""
    assert SeedWords.of(bytes.fromhex(seed)).words == tuple(words.split())
    assert SeedWords.parse(words).seed().hex() == seed


def second_reader(words: list[str]) -> bytes:
    """Written from docs/spec/wallet-seed.md: 24 numbers of 11 bits, the last 8 bits a check."""
    folder = Path(mnemonic.__file__).parent / "wordlist" / "english.txt"
    known = folder.read_text().split()
    number = 0
    for word in words:
        number = number << 11 | known.index(word)
    seed, check = (number >> 8).to_bytes(32), number & 0xFF
    assert sha256(seed).digest()[0] == check
    return seed


def test_second_implementation_reads_the_same_seed() -> None:
    """From the page alone."""
    for _ in range(20):
        seed = os.urandom(32)
        assert second_reader(list(SeedWords.of(seed).words)) == seed


def test_words_are_read_as_people_type_them() -> None:
    """Numbers, capitals, line breaks: the printed page typed off is read again."""
    words = SeedWords.of(SEED)
    assert SeedWords.parse("\n".join(words.lines()).upper()).seed() == SEED


def test_wrong_word_is_named_with_the_nearest() -> None:
    """Which one of 24 it is, and what was probably meant."""
    words = list(SeedWords.of(SEED).words)
    words[6] = words[6][:-1] + "q"
    with pytest.raises(
        UserError, match=rf"word 7, '{words[6]}', .*did you mean '{SeedWords.of(SEED).words[6]}'"
    ):
        SeedWords.parse(" ".join(words))


def test_hostile_word_is_shown_harmlessly() -> None:
    """What is pasted may hold anything."""
    with pytest.raises(UserError) as raised:
        SeedWords.parse("\x1b[2Jabandon" + " abandon" * 23)
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize(("count", "says"), [(0, "these are 0"), (12, "these are 12"), (25, "these are 25")])
def test_wrong_number_of_words_is_said(count: int, says: str) -> None:
    """BIP-39 has shorter ones, and this wallet doesn't."""
    with pytest.raises(UserError, match=says):
        SeedWords.parse("abandon " * count)


def test_swapped_words_fail_the_checksum() -> None:
    """All but one of 256 mistakes are noticed."""
    words = list(SeedWords.of(SEED).words)
    words[0], words[1] = words[1], words[0]
    with pytest.raises(UserError, match="don't belong together"):
        SeedWords.parse(" ".join(words))


def test_words_are_not_in_a_traceback() -> None:
    """The repr shows none; a seed of another length is a bug."""
    assert "abandon" not in repr(SeedWords.of(bytes(32)))
    with pytest.raises(FatalError):
        SeedWords.of(bytes(16))
