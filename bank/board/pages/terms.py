"""The bank's terms in words: how long a coin lives, and by when things are done. Pure."""

from dataclasses import dataclass

from bank.formats.terms import PublishedTerms

_DAY_S = 86400


@dataclass(frozen=True)
class Promise:
    """One line: what is promised, and the number with its unit."""

    what: str
    length: str


@dataclass(frozen=True)
class TermsView:
    """The terms that hold from ``round`` on. ``signed``: whether the bank's key signed them."""

    number: int
    round: int
    signed: bool
    promises: list[Promise]


def terms_view(terms: PublishedTerms, round_: int, bank_key: bytes) -> TermsView:
    """``bank_key``: who should have signed (32 bytes)."""
    return TermsView(
        terms.number,
        round_,
        terms.holds(bank_key),
        [
            Promise("A coin can be spent, its own epoch included", _epochs(terms.life_epochs, terms)),
            Promise("After that it can only be exchanged", _epochs(terms.grace_epochs, terms)),
            Promise("A hold lasts", _rounds(terms.hold_rounds)),
            Promise("What the bank did is public within", _rounds(terms.promise_rounds)),
            Promise("A claim is answered within", _rounds(terms.claim_rounds)),
        ],
    )


def _epochs(count: int, terms: PublishedTerms) -> str:
    return f"{_many(count, 'epoch')} of {_time(terms.epoch_s)}"


def _rounds(count: int) -> str:
    return _many(count, "round")


def _time(seconds: int) -> str:
    if seconds % _DAY_S == 0:
        return _many(seconds // _DAY_S, "day")
    return _many(seconds, "second")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
