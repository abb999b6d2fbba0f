"""
Simon's definitions 4 and 5 as a machine: honest parties and cheats against the real rules on the real store.

Definition 4 (correct): whatever the others do, an honest party's payment, deposit and withdrawal have exactly
the effect that they should, and nothing else changes what he owns. Definition 5 (secure): the bank's balance
of an honest party is what he knows it to be, and no more is ever deposited than was withdrawn. In the paper
money comes from balances below zero; here from the operator's credits, so the sum is what was credited.
"""

import dataclasses
import os
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bank.board.feed import Batch, FeedReceipt
from bank.formats.answer import (
    Certificates,
    Credited,
    Held,
    Hold,
    Refusal,
    Refused,
    Spent,
    Taken,
    Withdrawn,
)
from bank.formats.coin import certificate_holds, coin_id, exponents_of
from bank.formats.entry import CertifiedEntry, SpentEntry
from bank.formats.order import Output, SignedOrder, tau_of
from bank.formats.request import BankRequest, Execute, encode_request
from bank.formats.statement import Tally, sign_statement, units_of
from bank.ledger.book import Value
from bank.outbox import record
from mixmint.keys import SigningKey
from tests.postgres import running
from tests.unit.bank.desk import Desk, fresh
from tests.unit.bank.engines import Both, Postgres, Sqlite

HONEST = ("alice", "bob")
parties = st.sampled_from(HONEST)
picks = st.integers(0, 2**16)


@dataclasses.dataclass
class Party:
    """A wallet: coins as (key pair, exponent), the account, and what its holder knows of his balance."""

    account: SigningKey
    balance: int = 0
    coins: list[tuple[SigningKey, int]] = dataclasses.field(default_factory=list)

    def pick(self, number: int) -> tuple[SigningKey, int]:
        return self.coins.pop(number % len(self.coins))


class Economy(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.desk = self.make_desk(Path(self.folder.name))
        self.credited = 0
        self.asked: list[tuple[bytes, bytes]] = []
        self.known: list[tuple[SigningKey, int]] = []
        """Coins whose secret a cheat knows, because he paid with them or was paid."""
        self.seen: list[SignedOrder] = []
        self.held: list[tuple[SignedOrder, bytes, str, tuple[SigningKey, int], SigningKey]] = []

    def make_desk(self, folder: Path) -> Desk:
        return Desk(folder)

    @initialize()
    def open(self) -> None:
        self.parties = {name: Party(self.desk.account(0)) for name in HONEST}

    def teardown(self) -> None:
        self.desk.close()
        self.folder.cleanup()

    def ask(self, request: BankRequest) -> object:
        """Ask and remember the answer: good ones are repeated later."""
        data = encode_request(request)
        answer = self.desk.ask_bytes(data)
        body = self.desk.read(request, answer).body
        if isinstance(body, Certificates | Credited | Withdrawn):
            self.asked.append((data, answer))
        return body

    @rule(name=parties, units=st.integers(1, 100))
    def credit(self, name: str, units: int) -> None:
        from bank.ledger.accounts import credit

        party = self.parties[name]
        self.desk.run(
            lambda book: credit(self.desk.bank, party.account.public, units, book),
        )
        party.balance += units
        self.credited += units

    @rule(name=parties, units=st.integers(1, 60))
    def withdraw(self, name: str, units: int) -> None:
        """Definition 4, rule 3."""
        party = self.parties[name]
        new = [fresh(exponent) for exponent in exponents_of(units)]
        body = self.ask(self.desk.withdraw(party.account, [output for _, output in new]))
        if units > party.balance:
            assert body == Refused(Refusal.BALANCE)
            return
        assert isinstance(body, Withdrawn)
        assert body.statement.statement.balance == party.balance - units
        party.balance -= units
        party.coins += [(key, output.exponent) for key, output in new]

    @precondition(lambda self: any(party.coins for party in self.parties.values()))
    @rule(payer=parties, payee=parties, pick=picks)
    def pay(self, payer: str, payee: str, pick: int) -> None:
        """Definition 4, rule 1: the payee exchanges at once. Afterwards the payer is a cheat who knows x."""
        if not self.parties[payer].coins:
            return
        old, exponent = self.parties[payer].pick(pick)
        new, output = fresh(exponent)
        signed = self.desk.order([old], [output])
        body = self.ask(signed)
        assert isinstance(body, Certificates)
        assert certificate_holds(
            self.desk.key.public, body.certificates[0], self.desk.bank, exponent, body.epoch, output.coin
        )
        self.parties[payee].coins.append((new, exponent))
        self.known.append((old, exponent))
        self.seen.append(signed)

    @precondition(lambda self: any(len(party.coins) > 1 for party in self.parties.values()))
    @rule(name=parties, pick=picks)
    def reshape(self, name: str, pick: int) -> None:
        """Two coins into as few as their sum allows."""
        party = self.parties[name]
        if len(party.coins) < 2:
            return
        one, two = party.pick(pick), party.pick(pick // 7)
        new = [fresh(exponent) for exponent in exponents_of((1 << one[1]) + (1 << two[1]))]
        signed = self.desk.order([one[0], two[0]], [output for _, output in new])
        assert isinstance(self.ask(signed), Certificates)
        party.coins += [(key, output.exponent) for key, output in new]
        self.known += [one, two]

    @precondition(lambda self: any(party.coins for party in self.parties.values()))
    @rule(name=parties, pick=picks)
    def deposit(self, name: str, pick: int) -> None:
        """Definition 4, rule 2."""
        party = self.parties[name]
        if not party.coins:
            return
        old, exponent = party.pick(pick)
        body = self.ask(self.desk.deposit(party.account, [old]))
        assert isinstance(body, Credited)
        party.balance += 1 << exponent
        assert body.statement.statement.balance == party.balance
        self.known.append((old, exponent))

    @precondition(lambda self: any(party.coins for party in self.parties.values()))
    @rule(name=parties, pick=picks)
    def hold(self, name: str, pick: int) -> None:
        """The first of two steps; the coin is out of the wallet until h is shown or the hold lapses."""
        party = self.parties[name]
        if not party.coins:
            return
        old, exponent = party.pick(pick)
        new, output = fresh(exponent)
        h = os.urandom(32)
        signed = self.desk.order([old], [output], tau=tau_of(h))
        assert isinstance(self.ask(signed), Hold)
        self.held.append((signed, h, name, (old, exponent), new))

    @precondition(lambda self: self.held)
    @rule(pick=picks, rounds=st.integers(0, 20))
    def execute(self, pick: int, rounds: int) -> None:
        """In time or late: nobody else can have taken an honest party's held coin."""
        signed, h, name, (old, exponent), new = self.held.pop(pick % len(self.held))
        self.desk.closed += rounds
        assert isinstance(self.ask(Execute(signed.seal, h)), Certificates)
        self.parties[name].coins.append((new, exponent))
        self.known.append((old, exponent))

    @precondition(lambda self: self.held)
    @rule(pick=picks)
    def meddle_with_a_hold(self, pick: int) -> None:
        """A rival with the secret (a cheating payer) doesn't get a held coin; without h nobody executes."""
        signed, _, _, (old, exponent), _ = self.held[pick % len(self.held)]
        body = self.ask(Execute(signed.seal, os.urandom(32)))
        assert body == Refused(Refusal.WRONG_H)
        hold = self.desk.ask(signed).body
        assert isinstance(hold, Hold)
        if self.desk.closed < hold.to_round:
            assert isinstance(self.ask(self.desk.order([old], [fresh(exponent)[1]])), Held)

    @precondition(lambda self: self.known)
    @rule(pick=picks, how=st.sampled_from(["exchange", "hold", "deposit", "in company"]))
    def spend_twice(self, pick: int, how: str) -> None:
        """A cheat who knows an old x gets nothing but the proof."""
        old, exponent = self.known[pick % len(self.known)]
        if how == "deposit":
            body = self.ask(self.desk.deposit(self.parties["alice"].account, [old]))
        elif how == "in company":
            body = self.ask(self.desk.order([old, self.desk_coin()], [fresh(exponent)[1], fresh(0)[1]]))
        else:
            tau = tau_of(b"h") if how == "hold" else bytes(32)
            body = self.ask(self.desk.order([old], [fresh(exponent)[1]], tau=tau))
        assert type(body) is Spent
        assert body.proves()

    def desk_coin(self) -> SigningKey:
        """One unit made outside of the game, accounted for as credited."""
        self.credited += 1
        key = self.desk.coin(0)
        self.loose = [*getattr(self, "loose", []), key]
        return key

    @precondition(lambda self: any(party.coins for party in self.parties.values()))
    @rule(name=parties, pick=picks)
    def steal(self, name: str, pick: int) -> None:
        """A thief knows id, key, value and certificate of a coin, but not its secret."""
        party = self.parties[name]
        if not party.coins:
            return
        victim, exponent = party.coins[pick % len(party.coins)]
        thief = SigningKey.generate()
        signed = self.desk.order([thief], [fresh(exponent)[1]])
        order = dataclasses.replace(signed.order, inputs=(victim.public,))
        forged = SignedOrder.decode(signed.salt + order.encode() + signed.signatures[0])
        assert self.ask(forged) == Refused(Refusal.SIGNATURE, 0)

    @rule(exponent=st.integers(0, 20))
    def forge(self, exponent: int) -> None:
        """A coin that the bank never certified buys nothing."""
        body = self.ask(self.desk.order([SigningKey.generate()], [fresh(exponent)[1]]))
        assert body == Refused(Refusal.UNKNOWN_CERTIFICATE, 0)

    @precondition(lambda self: any(party.coins for party in self.parties.values()))
    @rule(name=parties, pick=picks, error=st.sampled_from([-1, 1]))
    def make_money(self, name: str, pick: int, error: int) -> None:
        """Outputs that are worth more, or less, than the inputs."""
        party = self.parties[name]
        if not party.coins:
            return
        key, exponent = party.coins[pick % len(party.coins)]
        if exponent + error >= 0:
            body = self.ask(self.desk.order([key], [fresh(exponent + error)[1]]))
            assert body == Refused(Refusal.SUMS)

    @precondition(lambda self: self.seen and any(party.coins for party in self.parties.values()))
    @rule(pick=picks, name=parties)
    def take_anothers_output(self, pick: int, name: str) -> None:
        """An output id that is certified already."""
        party = self.parties[name]
        if not party.coins:
            return
        key, exponent = party.coins[pick % len(party.coins)]
        target = self.seen[pick % len(self.seen)].order.outputs[0].coin
        assert isinstance(self.ask(self.desk.order([key], [Output(target, exponent)])), Taken)

    @precondition(lambda self: self.asked)
    @rule(pick=picks)
    def repeat(self, pick: int) -> None:
        """Any executed request, asked again at any time, gets its first answer."""
        data, answer = self.asked[pick % len(self.asked)]
        assert self.desk.ask_bytes(data) == answer

    @precondition(lambda self: self.asked)
    @rule(pick=picks, at=picks, bit=st.integers(0, 7))
    def change_a_bit(self, pick: int, at: int, bit: int) -> None:
        """Any request on its way, with one bit changed, moves no money."""
        data = bytearray(self.asked[pick % len(self.asked)][0])
        data[at % len(data)] ^= 1 << bit
        before = self.desk.count("spent"), self.desk.count("certified"), self.desk.count("statement")
        self.desk.ask_bytes(bytes(data))
        after = self.desk.count("spent"), self.desk.count("certified"), self.desk.count("statement")
        assert before == after

    @rule()
    def crash(self) -> None:
        self.desk.reopen()

    @rule(rounds=st.integers(1, 3))
    def close_rounds(self, rounds: int) -> None:
        """The board goes on, without taking the groups: they stay in the outbox for the invariant."""
        self.desk.closed += rounds
        receipt = FeedReceipt(1, self.desk.closed + 1, self.desk.closed, bytes(64))
        self.desk.run(lambda book: record(book, Batch(1, ()), receipt))

    @invariant()
    def no_unit_is_lost_or_made(self) -> None:
        """Definition 5, rule 3."""
        if not hasattr(self, "parties"):
            return
        balances = sum(balance for *_, balance in self.desk.run(lambda book: book.accounts()))
        outside = self.desk.units("certified") - self.desk.units("spent")
        assert balances + outside == self.credited

    @invariant()
    def honest_parties_own_what_they_believe(self) -> None:
        """Definition 4, rule 4, and definition 5, rule 2."""
        for party in getattr(self, "parties", {}).values():
            newest = self.desk.newest(party.account)
            assert newest.balance == party.balance
            for key, exponent in party.coins:
                row = self.desk.run(
                    lambda book, key=key: (book.value(coin_id(key.public)), book.spent(key.public)),
                )
                assert row[0] is not None
                assert (row[0].exponent, row[1]) == (exponent, None)

    @invariant()
    def the_outbox_says_what_the_books_say(self) -> None:
        """What the public will see adds up to what the bank has on file."""
        entries = [entry for group in self.desk.groups() for entry in group]
        spent = [entry for entry in entries if isinstance(entry, SpentEntry)]
        assert len(spent) == len({entry.coin_key for entry in spent}) == self.desk.count("spent")
        certified = {entry.coin for entry in entries if isinstance(entry, CertifiedEntry)}
        made_here = {coin_id(key.public) for key in getattr(self, "loose", [])}
        rows = self.desk.engine.sql("SELECT coin FROM certified")
        assert certified == {coin for (coin,) in rows} - made_here

    @invariant()
    def the_tallies_are_what_a_recount_of_the_entries_finds(self) -> None:
        """By what each group shows: withdrawals only certify, deposits only spend. Value in = value out."""
        values = self.desk.values()
        counted: Counter[tuple[Value, str]] = Counter()
        for group in self.desk.groups():
            certified = [Value(e.exponent, e.epoch) for e in group if isinstance(e, CertifiedEntry)]
            spent = [values[e.coin] for e in group if isinstance(e, SpentEntry)]
            counted.update((value, "exchanged" if spent else "withdrawn") for value in certified)
            counted.update((value, "spent") for value in spent)
            if not certified:
                counted.update((value, "deposited") for value in spent)
        recount = {
            value: Tally(
                **{what: counted[value, what] for what in ("withdrawn", "exchanged", "spent", "deposited")}
            )
            for value in {value for value, _ in counted}
        }
        assert self.desk.tallies() == recount
        totals = units_of(self.desk.run(lambda book: book.tallies()))
        assert sign_statement(self.desk.key, self.desk.bank, 1, 0, bytes(32), totals, ()).balances()


TestEconomy = Economy.TestCase
TestEconomy.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_both_engines_answer_alike() -> None:
    """
    The same economy on SQLite and PostgreSQL side by side: each request has one answer, byte by byte, and in
    the end every row of every table is the same.
    """
    with running() as server:

        class Twins(Economy):
            def make_desk(self, folder: Path) -> Desk:
                self.postgres = Postgres(server, folder)
                return Desk(folder, engine=Both(Sqlite(folder / "bank.db"), self.postgres))

            def teardown(self) -> None:
                self.desk.engine.tables()
                super().teardown()
                self.postgres.release()

        run_state_machine_as_test(Twins, settings=settings(TestEconomy.settings, max_examples=5))
