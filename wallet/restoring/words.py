"""
The wallet's seed as 24 words (BIP-39, English), and back. Pure.

The words *are* the 32 bytes of the seed, with 8 bits of a checksum. BIP-39's other half, which stretches
words and a passphrase into a longer seed, isn't used: nothing but the words is needed to get the coins back.

Source: BIP-39; docs/spec/wallet-seed.md, section 1.
"""

from collections.abc import Sequence
from difflib import get_close_matches

from mnemonic import Mnemonic

from mixmint.errors import FatalError, UserError
from replyblocks.terminal import preview

SEED_BYTES = 32
WORDS = 24
_SHOWN_CHARACTERS = 16
_MOST_CHARACTERS = 4096


class SeedWords:
    """24 words. The repr shows none of them."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)

    @classmethod
    def of(cls, seed: bytes) -> "SeedWords":
        """The words of a seed (32 bytes)."""
        if len(seed) != SEED_BYTES:
            raise FatalError("a wallet's seed has 32 bytes")
        return cls(Mnemonic("english").to_mnemonic(seed).split(" "))

    @classmethod
    def parse(cls, text: str) -> "SeedWords":
        """
        Words as somebody typed them: any white space and case, numbers such as ``7.`` before a word.

        Raises UserError: not 24, a word that isn't in the list (which one, and the nearest that is), or words
        that don't belong together.
        """
        words = text[:_MOST_CHARACTERS].lower().split()
        words = [word for word in words if not word.rstrip(".:)").isdecimal()]
        known = Mnemonic("english").wordlist
        for number, word in enumerate(words[:WORDS], start=1):
            if word not in known:
                near = get_close_matches(word, known, n=1, cutoff=0.5)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                shown = preview(word, _SHOWN_CHARACTERS)
                raise UserError(f"word {number}, '{shown}', isn't in the list of words{hint}")
        if len(words) != WORDS:
            raise UserError(f"a wallet has {WORDS} words, and these are {len(words)}")
        found = cls(words)
        found.seed()
        return found

    def seed(self) -> bytes:
        """The 32 bytes. Raises UserError when the checksum doesn't hold."""
        try:
            return bytes(Mnemonic("english").to_entropy(list(self.words)))
        except (ValueError, LookupError):
            raise UserError(
                "each of these words is in the list, but they don't belong together (the checksum doesn't "
                "hold): one is another than you wrote down, or two are swapped"
            ) from None

    def lines(self) -> list[str]:
        """For paper: four numbered words to a line."""
        numbered = [f"{number:2}. {word:<10}" for number, word in enumerate(self.words, start=1)]
        return ["".join(numbered[at : at + 4]).rstrip() for at in range(0, len(numbered), 4)]

    def __repr__(self) -> str:
        return "SeedWords()"
