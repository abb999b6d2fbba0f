"""How many coins a coin could be, for the public: from whole rounds and the bank's statements."""

from random import Random

import pytest

from bank.formats.entry import CertifiedEntry, SpentEntry
from bank.formats.succession import BankKeys, Cut, KeyChange
from mixmint.errors import FatalError
from mixmint.keys import SigningKey
from tests.unit.wallet.anonymity.rounds import BANK, BANK_KEY, certified, round_of, spent, stated
from wallet.anonymity import crowd as crowd_module
from wallet.anonymity.crowd import Crowd, beside
from wallet.answers import Bank


def test_without_a_statement_nothing_is_claimed() -> None:
    """What was seen since the wallet began to read is no bound for what there is."""
    crowd = Crowd().after([round_of(1, [certified(1), certified(2)])], BANK)
    assert crowd.alike() == {}
    assert crowd.newest_epoch() == 1


def test_a_statement_counts_what_is_unspent() -> None:
    """Certified less spent, by value and epoch."""
    crowd = Crowd().after([round_of(7, [stated(1, {(0, 1): 5, (3, 2): 9})])], BANK)
    assert crowd.alike() == {(0, 1): 5, (3, 2): 9}
    assert (crowd.sequence, crowd.round, crowd.newest_epoch()) == (1, 7, 2)


def test_coins_since_the_statement_are_followed_one_by_one() -> None:
    """Each adds until it is spent; an older one that is spent is counted until the next statement."""
    crowd = Crowd().after([round_of(1, [stated(1, {(0, 1): 5})])], BANK)
    crowd = crowd.after([round_of(2, [certified(1), certified(2)])], BANK)
    assert crowd.alike()[0, 1] == 7
    crowd = crowd.after([round_of(3, [spent(1), certified(3)]), round_of(4, [spent(99)])], BANK)
    assert crowd.alike()[0, 1] == 7
    crowd = crowd.after([round_of(5, [stated(2, {(0, 1): 6})])], BANK)
    assert crowd.alike()[0, 1] == 6


def test_a_row_that_is_not_repeated_stands() -> None:
    """A statement names what has changed; the rest is as it was."""
    rounds = [round_of(1, [stated(1, {(0, 1): 5, (1, 1): 8})]), round_of(2, [stated(2, {(0, 1): 4})])]
    assert Crowd().after(rounds, BANK).alike() == {(0, 1): 4, (1, 1): 8}


def test_an_old_statement_shown_again_changes_nothing() -> None:
    """A board may repeat what the bank once signed."""
    crowd = Crowd().after([round_of(1, [stated(2, {(0, 1): 3})])], BANK)
    again = crowd.after([round_of(2, [stated(1, {(0, 1): 400})])], BANK)
    assert again.alike() == {(0, 1): 3}


def test_a_strangers_statement_is_none() -> None:
    """Nobody but the bank makes a set look large."""
    crowd = Crowd().after([round_of(1, [stated(1, {(0, 1): 400}, SigningKey(b"x" * 32))])], BANK)
    assert crowd.alike() == {}


def test_a_new_key_may_number_from_one_again() -> None:
    """After a recovery the successor's first statement is the newest, and the old key's word is over."""
    new = SigningKey(b"n" * 32)
    change = KeyChange(BANK.id, 1, BANK_KEY.public, new.public, Cut(150, b"r" * 32), 10, ())
    bank = Bank(BankKeys(BANK_KEY.public).after(change))
    crowd = Crowd().after([round_of(1, [stated(9, {(0, 1): 5})])], bank)
    crowd = crowd.after([round_of(2, [stated(1, {(0, 1): 7}, new)])], bank)
    assert crowd.alike() == {(0, 1): 7}
    crowd = crowd.after([round_of(3, [stated(10, {(0, 1): 900}, BANK_KEY)])], bank)
    assert crowd.alike() == {(0, 1): 7}


def test_the_bound_is_never_below_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long random history: the bound holds at every round, and is at most the last statement too high."""
    monkeypatch.setattr(crowd_module, "MOST_FOLLOWED", 30)
    rng = Random(5)
    live: dict[int, int] = {}
    crowd, made, sequence, at_statement = Crowd(), 0, 0, 0
    for number in range(1, 400):
        entries: list[CertifiedEntry | SpentEntry] = []
        for coin in rng.sample(sorted(live), min(len(live), rng.randrange(4))):
            del live[coin]
            entries.append(spent(coin))
        for _ in range(rng.randrange(4)):
            made += 1
            live[made] = 0
            entries.append(certified(made))
        shown = [*entries]
        if number % 25 == 0:
            sequence += 1
            at_statement = len(live)
            shown.append(stated(sequence, {(0, 1): len(live)}))  # type: ignore[arg-type]  # any entry
        before = crowd
        crowd = Crowd.decode(crowd.after([round_of(number, shown)], BANK).encode())
        if sequence:
            bound = crowd.alike()[0, 1]
            assert bound >= len(live), number
            if not crowd.uncounted:
                assert bound <= len(live) + at_statement + 4
        assert before is not crowd
    assert sequence > 10


def test_what_is_stored_is_read_again_or_refused() -> None:
    """A damaged count stops the wallet; it isn't guessed."""
    crowd = Crowd().after([round_of(1, [stated(1, {(0, 1): 5}), certified(1)])], BANK)
    assert Crowd.decode(crowd.encode()) == crowd
    with pytest.raises(FatalError):
        Crowd.decode(crowd.encode()[:-1])


def test_beside_counts_coins_that_look_alike_in_one_round() -> None:
    """Same value and same epoch only."""
    round_ = round_of(1, [certified(1), certified(2), certified(3, 1), certified(4, 0, 2), spent(9)])
    assert beside(round_, 0, 1) == 2
    assert beside(round_, 5, 1) == 0
