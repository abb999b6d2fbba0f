"""
Definitions 3, 4 and 5 as a machine: cycles with one transaction input each, honest parties, and a cheat who
does what he likes meanwhile.

Definition 4 (correct): an honest party's payment, deposit or withdrawal has exactly its effect within the
cycle, whatever the others do. Definition 5 (secure): the bank's balance of an honest party is what he knows
it to be, and no more is ever deposited than was withdrawn. In the paper money comes from balances below zero;
here from the operator's credits, so what is in balances and in live coins is what was credited.
"""

import os
from contextlib import ExitStack
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bank.formats.answer import Certificates, Held, Hold
from bank.formats.coin import CoinId, coin_id
from bank.formats.order import Output, tau_of
from bank.formats.request import Execute
from mixmint.keys import SigningKey
from tests.properties.simon.cheats import ACTS, Cheat
from tests.properties.simon.party import DEPOSIT, WITHDRAW, How, Input
from tests.properties.simon.profile import looked_at
from tests.properties.simon.world import World, new_world

HONEST = ("ann", "bob", "cid")
CREDIT = 64
parties = st.sampled_from(HONEST)
hows = st.sampled_from(How)
meddling = st.lists(st.sampled_from(ACTS), max_size=3)
amounts = st.integers(1, 9)


class Economy(RuleBasedStateMachine):
    """Each rule is a cycle (definition 3); what must hold at its end is checked there."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        """Definition 5, rules 1 and 2: everything begins at 0."""
        self.world: World = self.stack.enter_context(
            new_world(seed, **dict.fromkeys((*HONEST, "eve"), CREDIT))
        )
        self.cheat = Cheat(self.world, self.world.parties["eve"], Random(seed))
        for name in HONEST:
            assert (self.wal(name), self.led(name), self.bal(name)) == (0, 0, 0)

    def teardown(self) -> None:
        self.stack.close()

    def wal(self, name: str) -> int:
        return self.world.parties[name].wal()

    def led(self, name: str) -> int:
        return self.world.parties[name].led()

    def bal(self, name: str) -> int:
        """As the paper counts: what the operator credited isn't in it."""
        return self.world.balance(name) - CREDIT

    def cycle(self, given: Input, acts: "list[object]") -> bool:
        """
        The rules of definition 4. False when the input asked for more than there was: then nothing changes.

        The paper's party has the coin; here it must also have the right sum.
        """
        before = {name: (self.wal(name), self.led(name), self.bal(name)) for name in HONEST}
        wal, _, bal = before.get(given.party, (0, 0, 0))
        is_possible = given.units <= (bal + CREDIT if given.what == WITHDRAW else wal)
        told = len(self.world.parties[given.party].refusals)
        self.world.cycle(given, [lambda act=act: act(self.cheat) for act in acts])
        change = {name: [0, 0] for name in HONEST}
        if is_possible and given.party in HONEST:
            assert self.world.parties[given.party].refusals[told:] == []
            gone = -given.units if given.what != WITHDRAW else given.units
            booked = given.units if given.what == DEPOSIT else -given.units if given.what == WITHDRAW else 0
            change[given.party] = [gone, booked]
            if given.what in HONEST:
                change[given.what][0] += given.units
        for name in HONEST:
            wal, led, bal = before[name]
            moved, booked = change[name]
            # At least: a cheat may give his coins to anybody.
            assert self.wal(name) >= wal + moved, (name, given)
            assert self.led(name) == led + booked, (name, given)
            assert self.bal(name) == bal + booked, (name, given)
        return is_possible

    @rule(name=parties, units=st.integers(1, 40), acts=meddling)
    def withdraw(self, name: str, units: int, acts: list[object]) -> None:
        """Rule 3."""
        self.cycle(Input(name, WITHDRAW, units), acts)

    @rule(payer=parties, payee=parties, units=amounts, how=hows, acts=meddling)
    def pay(self, payer: str, payee: str, units: int, how: How, acts: list[object]) -> None:
        """Rule 1."""
        if payer != payee:
            self.cycle(Input(payer, payee, units, how), acts)

    @rule(name=parties, units=amounts, acts=meddling)
    def deposit(self, name: str, units: int, acts: list[object]) -> None:
        """Rule 2."""
        self.cycle(Input(name, DEPOSIT, units), acts)

    @rule(given=st.sampled_from([WITHDRAW, DEPOSIT, *HONEST]), units=amounts, how=hows, acts=meddling)
    def cheat_transacts(self, given: str, units: int, how: How, acts: list[object]) -> None:
        """Rule 4: another's input changes nothing of an honest party's, but for what he is given."""
        self.cycle(Input("eve", given, units, how), acts)

    @rule(payee=parties, units=amounts, acts=meddling)
    def pay_the_cheat(self, payee: str, units: int, acts: list[object]) -> None:
        """Rule 1, the payer's half: who is paid may do what he likes."""
        self.cycle(Input(payee, "eve", units), acts)

    @rule()
    def restart_the_bank(self) -> None:
        """What is committed stays, nothing else was promised."""
        self.world.restart_bank()

    @precondition(lambda self: self.world.handover.keys.changes == ())
    @rule()
    def replace_the_bank(self) -> None:
        """Definition 6, in the middle of everything: what comes after it is as correct and as secure."""
        before = {name: (self.wal(name), self.led(name), self.bal(name)) for name in HONEST}
        self.world.recover()
        for name in HONEST:
            self.world.run(self.world.parties[name].listen())
            assert (self.wal(name), self.led(name), self.bal(name)) == before[name]

    @rule(payer=parties, payee=parties, units=amounts, how=hows, acts=meddling)
    def pay_while_the_bank_crashes(
        self, payer: str, payee: str, units: int, how: How, acts: list[object]
    ) -> None:
        """Rule 1, and each time that the bank answers its process ends: what it said it knows afterwards."""
        self.world.network.bank = self.world.answer_and_die
        try:
            self.pay(payer, payee, units, how, acts)
        finally:
            self.world.network.bank = self.world.answer_all

    @rule(acts=meddling)
    def hold_then_capture(self, acts: list[object]) -> None:
        """
        Definition 9's "yes": the cheat has a coin held for a shop, and tries what he likes with it meanwhile;
        whoever shows h within the hold gets the certificates.
        """
        # The cheat's wallet doesn't know yet what was done with its coins behind its back.
        live = self.world.live()
        coins = [coin for coin in self.cheat.own_coins() if coin.id() in live]
        if coins:
            shop, h = SigningKey(os.urandom(32)), os.urandom(32)
            output = Output(CoinId(coin_id(shop.public)), coins[0].exponent)
            held = self.cheat.sign([coins[0].key()], [output], tau_of(h))

            async def authorise_and_capture() -> None:
                answer = await self.world.ask(held)
                if isinstance(answer, Held):
                    return  # the cheat's own hold, from before
                assert isinstance(answer, Hold)
                rival = self.cheat.sign([coins[0].key()], [self.cheat.output(coins[0].exponent)])
                assert isinstance(await self.world.ask(rival), Held)
                for act in acts:
                    act(self.cheat)
                assert isinstance(await self.world.ask(Execute(held.seal, h)), Certificates)

            self.world.run(authorise_and_capture())

    @invariant()
    def no_unit_is_lost_or_made(self) -> None:
        """Definition 5, rule 3: nobody gains, all together."""
        if hasattr(self, "world"):
            balances = sum(map(self.world.balance, self.world.parties))
            assert balances + self.world.live_units() == self.world.credited

    @invariant()
    def what_is_in_a_wallet_is_live(self) -> None:
        """Definition 5, rule 2, and the note under it: an honest party can deposit every coin it has."""
        if hasattr(self, "world"):
            live = self.world.live()
            for name in HONEST:
                party = self.world.parties[name]
                assert party.unsettled() == 0
                assert party.open_operations() == []
                assert party.units_live(live) == party.wal()


TestEconomy = Economy.TestCase
TestEconomy.settings = looked_at(16, 16)


def test_a_request_whose_ids_are_known_can_be_spoiled_by_a_gift() -> None:
    """
    Definition 4 as it isn't: a cheat who reads a payment request has a coin of his own certified under its
    id. The payment is refused, the payer keeps his coins, and what the cheat put in is the payee's.
    """
    with new_world(5, ann=CREDIT, bob=CREDIT, eve=CREDIT) as world:
        world.cycle(Input("ann", WITHDRAW, 4))
        world.cycle(Input("eve", WITHDRAW, 1))
        cheat = Cheat(world, world.parties["eve"], Random(5))
        ann, bob = world.parties["ann"], world.parties["bob"]

        async def spoil() -> None:
            _, request = await bob.cashier.request(4, "")
            coin = cheat.own_coins()[0]
            target = Output(request.outputs[0].coin, coin.exponent)
            assert isinstance(await world.ask(cheat.sign([coin.key()], [target])), Certificates)
            await ann.insist(ann.cashier.pay(request, now=True), ann.refusals)

        world.run(spoil())
        world.run(bob.listen())
        assert (ann.wal(), bob.wal()) == (4, 1)
        assert world.live_units() == 5
