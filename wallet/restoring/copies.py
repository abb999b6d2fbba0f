"""
Copies of a wallet: other devices with its seed, or the very same purse, restored beside the original.

Whoever has the seed has every coin, so what one copy makes is every copy's. Each looks some counters ahead of
every copy that it knows of, among them its own number and the next device's: a coin of theirs that the
board shows is recognised as ours, and our own counters move on behind it. Two copies with one number can
still ask for the same id at the same time. The bank refuses the second (*taken*), and that one jumps.

What no copy can know is what another one did without the board: coins written to a bearer file.
"""

from collections.abc import Mapping

from wallet.derivation import MOST_DEVICE, Purpose
from wallet.purse import CoinRecord, CoinState, Purse
from wallet.restoring.deriving import COIN_PURPOSES, id_of

WINDOW = 128
"""Counters looked ahead, of each device and purpose: about 2 ms of work."""
JUMP = 32
"""How far a copy jumps whose id was taken: less than the window, so that the other one still sees it."""
_FACT = "copies"
_STRANGER = "stranger"


def note_copies(purse: Purse) -> None:
    """This purse has copies. Inside its transaction."""
    purse.set_fact(_FACT, b"1")


class Copies:
    """What other copies of the wallet in this purse do. Writing happens in the purse's transaction."""

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._seed = purse.reveal_seed()
        self._places: dict[bytes, tuple[int, Purpose, int]] = {}
        self._reach: dict[tuple[int, Purpose], int] = {}
        self._news: list[str] = []

    @property
    def exist(self) -> bool:
        """Whether another copy is known of."""
        return self._purse.fact(_FACT) is not None

    @property
    def may_sign(self) -> bool:
        """
        Whether somebody else signs for this account: a copy, or whoever spent a coin of ours. What the bank
        books for him isn't invented.
        """
        return self.exist or self._purse.fact(_STRANGER) is not None

    def note(self) -> None:
        """Another copy exists."""
        if not self.exist:
            note_copies(self._purse)

    def news(self) -> list[str]:
        """What the member should know of other copies, since it was asked last."""
        news, self._news = self._news, []
        return list(dict.fromkeys(news))

    def marks(self) -> frozenset[bytes]:
        """``mark_of`` of the coins that copies make next."""
        self._look(self._purse.counters())
        return frozenset(self._places)

    def meet(self, coin: bytes) -> bool:
        """
        Whether this coin (id), which the board shows and the purse doesn't know, was made by another copy:
        then it gets a row, and so have all before it.
        """
        place = self._places.get(self._purse.mark_of(coin))
        if place is None or self._purse.coin(coin) is not None:
            return False
        device, purpose, counter = place
        self._skip(device, purpose, counter + 1)
        self.note()
        self._news.append("another copy of this wallet is at work; what it gets is yours here too")
        return True

    def jump(self, purpose: Purpose) -> None:
        """An id that we asked for was taken: another copy counts as we do, and we get out of its way."""
        following = self._purse.counters().get((self._purse.device, purpose), 0)
        self._skip(self._purse.device, purpose, following + JUMP)
        self.note()
        self._news.append("another copy of this wallet asked for the same coins first; asking for others")

    def spent(self, row: int, record: CoinRecord, proof: bytes) -> None:
        """
        An order that this purse doesn't know spent a coin of ours. Where other copies exist, it is taken to
        be theirs; else the coin is lost. ``proof``: coin key, seal, signature.
        """
        if self.exist:
            self._purse.change_coin(row, record, state=CoinState.SPENT, elsewhere=True, proof=proof)
            who = "another copy of this wallet spent"
        else:
            self._purse.change_coin(row, record, state=CoinState.LOST, proof=proof)
            self._purse.set_fact(_STRANGER, b"1")
            who = "an order that this wallet didn't make spent"
        # The board shows a deposit like any other order; of the account its next statement tells.
        self._news.append(
            f"{who} a coin of {record.units} units. If a copy of this wallet did, nothing is lost: the copy "
            "has what came of it, or your account has, if it was deposited. If you have no other copy, "
            "somebody has your words or an old file of yours: move your coins to a new wallet"
        )

    def _skip(self, device: int, purpose: Purpose, stop: int) -> None:
        """
        Leave the counters below ``stop`` to whoever made secrets of them. They are ours as well: what the
        board shows of them, now or later, is found by the rows made here.
        """
        for counter in range(self._purse.counters().get((device, purpose), 0), stop):
            self._purse.adopt(device, purpose, counter)
        self._purse.leave(device, purpose, stop)

    def _look(self, counters: Mapping[tuple[int, Purpose], int]) -> None:
        highest = max([self._purse.device, *(device for device, _ in counters)])
        for device in range(min(highest + 1, MOST_DEVICE) + 1):
            for purpose in COIN_PURPOSES:
                following = counters.get((device, purpose), 0)
                first = max(following, self._reach.get((device, purpose), 0))
                for counter in range(first, following + WINDOW):
                    coin = id_of(self._seed, self._purse.bank, device, purpose, counter)
                    self._places[self._purse.mark_of(coin)] = (device, purpose, counter)
                self._reach[device, purpose] = max(first, following + WINDOW)

    def __repr__(self) -> str:
        return "Copies()"
