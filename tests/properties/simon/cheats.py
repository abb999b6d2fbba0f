"""
Cheating parties A'_i: what they see of the wire, what they know, and what they try.

They have a wallet like anybody, and use it honestly to come by coins. Each act here is one message or a few;
what comes of it shows in everybody's balances. A cheat acts on what arrived a tick ago at the latest: the
paper's network delivers before eavesdroppers can preempt (section 2.1).
"""

import os
from collections.abc import Iterator
from random import Random
from typing import TypeVar

from bank.formats.coin import Coin, CoinId, CoinKey, Secret, coin_id
from bank.formats.entry import PostedEntry, SpentEntry
from bank.formats.order import NOTHING, Order, Output, SignedOrder, sign_order, tau_of
from bank.formats.request import BankRequest, Execute, Withdraw, decode_request, encode_request
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import SigningKey
from tests.properties.simon.party import Party
from tests.properties.simon.views import BANK
from tests.properties.simon.world import World
from wallet.bearer import Bearer, parse_bearer
from wallet.purse import CoinState

LATE = 10**6
T = TypeVar("T")
_CONVERSATION_BYTES = 16


class Cheat:
    """``rng`` picks among what there is to pick from."""

    def __init__(self, world: World, party: Party, rng: Random) -> None:
        self.world = world
        self.party = party
        self.rng = rng
        self.loot: list[SigningKey] = []
        """Secrets of outputs that were asked for in vain; whatever was certified of them was a theft."""

    # What is known

    def wire(self) -> Iterator[tuple[str, bytes]]:
        """To whom, and what; up to the tick before this one."""
        for event in self.world.view.events:
            if event.kind == "receives" and event.tick < self.world.network.tick:
                skip = _CONVERSATION_BYTES + 1 if event.whose == BANK else 1
                yield event.whose, event.data[skip:]

    def requests(self) -> list[bytes]:
        """Everything that the bank was sent."""
        return [data for whose, data in self.wire() if whose == BANK]

    def orders(self) -> list[SignedOrder]:
        """The orders among it."""
        return [request for request in map(_read, self.requests()) if isinstance(request, SignedOrder)]

    def coins_on_the_wire(self) -> list[Coin]:
        """Handed over by anybody to anybody; their secrets included."""
        coins: list[Coin] = []
        for _, data in self.wire():
            try:
                coins += parse_bearer(data.decode("ascii")).coins
            except (UserError, UnicodeDecodeError):
                continue
        return coins

    def own_coins(self) -> list[Coin]:
        """Good coins of the cheat's own wallet."""
        return [record.coin() for record in self.party.wallet.purse.coins(CoinState.FREE).values()]

    # What is tried

    def double_spend(self) -> None:
        """Coins that went over the wire, and an own one twice, each into an output of the cheat's own."""
        for coin in self._some(self.coins_on_the_wire(), 2):
            self._exchange(coin)
        for coin in self._some(self.own_coins(), 1):
            self._exchange(coin)
            self._exchange(coin)

    def pay_two(self) -> None:
        """One coin, handed to two parties at once."""
        for coin in self._some(self.own_coins(), 1):
            data = Bearer(self.world.town.names.id, (coin,)).text().encode()
            for name in self._some([name for name in self.world.parties if name != self.party.name], 2):
                self.world.network.send(name, data)

    def pay_again(self) -> None:
        """Bearer files that were seen, sent once more, to anybody."""
        files = [data for whose, data in self.wire() if data.startswith(b"mixmint bearer")]
        for data in self._some(files, 1):
            for name in self._some(list(self.world.parties), 1):
                self.world.network.send(name, data)

    def forge(self) -> None:
        """A coin that the bank never certified: to the bank, and to a party."""
        names = self.world.town.names
        coin = Coin(Secret(os.urandom(32)), self.rng.randrange(4), 0, os.urandom(64))
        self._exchange(coin)
        for name in self._some(list(self.world.parties), 1):
            self.world.network.send(name, Bearer(names.id, (coin,)).text().encode())

    def replay(self) -> None:
        """Whatever the bank was sent, once more."""
        for data in self._some(self.requests(), 3):
            self._tell_bank(data)

    def change_a_bit(self) -> None:
        """The same, with a bit flipped."""
        for data in self._some(self.requests(), 3):
            changed = bytearray(data)
            changed[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
            self._tell_bank(bytes(changed))

    def redirect(self) -> None:
        """An order that was seen, with the cheat's own outputs and the signatures as they were."""
        for signed in self._some(self.orders(), 2):
            order = signed.order
            outputs = [self.output(output.exponent) for output in order.outputs]
            changed = Order(
                order.bank,
                order.request_id,
                order.last_round,
                order.inputs,
                tuple(sorted(outputs, key=lambda output: output.coin)),
                order.account,
                order.tau,
                order.note,
            )
            self._tell_bank(signed.salt + changed.encode() + b"".join(signed.signatures))

    def claim_outputs(self) -> None:
        """An own coin into somebody's output id."""
        for coin in self._some(self.own_coins(), 1):
            for signed in self._some(self.orders(), 1):
                target = self.rng.choice(signed.order.outputs)
                self._order([coin.key()], [Output(target.coin, coin.exponent)])

    def hold(self) -> None:
        """A hold on every coin whose secret is known, and on one whose isn't."""
        for coin in self._some(self.coins_on_the_wire(), 2):
            self._order([coin.key()], [self.output(coin.exponent)], tau=tau_of(b"cheat"))
        for signed in self._some(self.orders(), 1):
            stranger = SigningKey(os.urandom(32))
            hold = self.sign([stranger], [self.output(0)], tau=tau_of(b"cheat"))
            # Somebody else's coin, under a signature that isn't its.
            order = Order(
                hold.order.bank,
                hold.order.request_id,
                LATE,
                signed.order.inputs[:1],
                hold.order.outputs,
                tau=hold.order.tau,
            )
            self._tell_bank(hold.salt + order.encode() + hold.signatures[0])

    def execute(self) -> None:
        """Somebody's seal, with an h that isn't its."""
        for signed in self._some(self.orders(), 2):
            self._tell(Execute(signed.seal, os.urandom(32)))

    def withdraw_for_another(self) -> None:
        """Somebody's withdrawal, signed by the cheat."""
        for request in map(_read, self.requests()):
            if isinstance(request, Withdraw):
                encoded = bytearray(encode_request(request))
                encoded[-64:] = os.urandom(64)
                self._tell_bank(bytes(encoded))
                return

    def post_falsely(self) -> None:
        """False entries on the board: a coin of somebody's spent, or certified for another value."""
        board = self.world.town.board
        for signed in self._some(self.orders(), 1):
            for output in signed.order.outputs:
                board.posted.append(PostedEntry(output.coin, 20, 0, os.urandom(64)).encode())
            for key in signed.order.inputs:
                board.posted.append(SpentEntry(CoinKey(key), os.urandom(32), os.urandom(64)).encode())

    # How

    def _some(self, items: list[T], most: int) -> list[T]:
        return self.rng.sample(items, min(most, len(items)))

    def output(self, exponent: int) -> Output:
        key = SigningKey(os.urandom(32))
        self.loot.append(key)
        return Output(CoinId(coin_id(key.public)), exponent)

    def _exchange(self, coin: Coin) -> None:
        self._order([coin.key()], [self.output(coin.exponent)])

    def sign(self, keys: list[SigningKey], outputs: list[Output], tau: bytes = NOTHING) -> SignedOrder:
        inputs = tuple(sorted(CoinKey(key.public) for key in keys))
        ascending = tuple(sorted(outputs, key=lambda output: output.coin))
        order = Order(self.world.town.names.id, os.urandom(16), LATE, inputs, ascending, tau=tau)
        return sign_order(order, keys)

    def _order(self, keys: list[SigningKey], outputs: list[Output], tau: bytes = NOTHING) -> None:
        self._tell(self.sign(keys, outputs, tau))

    def _tell(self, request: BankRequest) -> None:
        self._tell_bank(encode_request(request))

    def _tell_bank(self, data: bytes) -> None:
        self.world.network.send(BANK, data, os.urandom(_CONVERSATION_BYTES))


def _read(data: bytes) -> BankRequest | None:
    try:
        return decode_request(data)
    except MalformedMessage:
        return None


ACTS = (
    Cheat.double_spend,
    Cheat.pay_two,
    Cheat.pay_again,
    Cheat.forge,
    Cheat.replay,
    Cheat.change_a_bit,
    Cheat.redirect,
    Cheat.claim_outputs,
    Cheat.hold,
    Cheat.execute,
    Cheat.withdraw_for_another,
    Cheat.post_falsely,
)
