"""What a passphrase wraps opens with that passphrase only, at a bounded cost."""

import os

import pytest
from nacl import bindings, pwhash

from mixmint.errors import MalformedMessage, UserError
from mixmint.passphrase import (
    LEAST,
    MODERATE,
    Cost,
    is_wrapped,
    new_passphrase,
    passphrase_of,
    unwrap,
    wrap,
    wrapped_bytes,
)

SECRET = b"\x07" * 32
GOOD = passphrase_of("correct horse battery staple")


def test_secret_comes_back_with_its_passphrase_only() -> None:
    """And each wrapping is another one."""
    wrapped = wrap(SECRET, GOOD, LEAST)
    assert is_wrapped(wrapped)
    assert len(wrapped) == wrapped_bytes(32)
    assert SECRET not in wrapped
    assert unwrap(wrapped, GOOD) == SECRET
    assert wrap(SECRET, GOOD, LEAST) != wrapped
    with pytest.raises(UserError, match=r"^wrong passphrase$"):
        unwrap(wrapped, passphrase_of("correct horse battery stable"))


def test_bytes_that_are_no_text_are_said_in_a_line() -> None:
    """What a terminal of another encoding sends; a traceback would be the program's."""
    with pytest.raises(UserError, match="isn't text"):
        passphrase_of("correct \udcff horse")


def test_letters_that_look_alike_are_the_same() -> None:
    """An e with an accent is one character or two, as the keyboard has it."""
    assert passphrase_of("caf\u00e9 noir") == passphrase_of("cafe\u0301 noir")


@pytest.mark.parametrize("at", [16 + 16, 16 + 16 + 16, -1])
def test_changed_byte_is_no_oracle(at: int) -> None:
    """Salt, nonce, ciphertext: the same words as for a wrong passphrase."""
    changed = bytearray(wrap(SECRET, GOOD, LEAST))
    changed[at] ^= 1
    with pytest.raises(UserError, match=r"^wrong passphrase$"):
        unwrap(bytes(changed), GOOD)


@pytest.mark.parametrize(
    "cost", [Cost(1, 1 << 40), Cost(2**32, LEAST.memory), Cost(0, LEAST.memory), Cost(1, 0)]
)
def test_file_can_not_demand_any_cost(cost: Cost) -> None:
    """A hostile backup file would fill the memory, or never end; a downgraded one would cost nothing."""
    wrapped = wrap(SECRET, GOOD, LEAST)
    bent = wrapped[:16] + cost.passes.to_bytes(8) + cost.memory.to_bytes(8) + wrapped[32:]
    with pytest.raises(MalformedMessage, match="cost"):
        unwrap(bent, GOOD)
    with pytest.raises(MalformedMessage, match="length"):
        unwrap(wrapped[:50], GOOD)


def test_default_cost_is_libsodiums_moderate_or_better() -> None:
    """A stolen file is tried on other people's machines."""
    assert MODERATE.passes >= pwhash.argon2id.OPSLIMIT_MODERATE
    assert MODERATE.memory >= pwhash.argon2id.MEMLIMIT_MODERATE


def test_second_implementation_opens_it() -> None:
    """docs/spec/wallet-seed.md, section 3, with libsodium's functions alone."""
    data = wrap(SECRET, GOOD, LEAST)
    magic, passes, memory, salt = data[:16], data[16:24], data[24:32], data[32:48]
    assert magic == b"mixmint wrapped1"
    key = bindings.crypto_pwhash_alg(
        32, GOOD, salt, int.from_bytes(passes), int.from_bytes(memory), bindings.crypto_pwhash_ALG_ARGON2ID13
    )
    opened = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(data[72:], data[:48], data[48:72], key)
    assert opened == SECRET


def test_new_passphrases_are_not_short_and_none_is_endless() -> None:
    """An old one may be whatever it is."""
    with pytest.raises(UserError, match="at least 8"):
        new_passphrase("1234567")
    for nothing in ("", "x" * 5000):
        with pytest.raises(UserError, match="no passphrase"):
            passphrase_of(nothing)
    assert new_passphrase(os.urandom(8).hex())
