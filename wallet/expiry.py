"""
Coins that are over, and those that the board shows as replaced: booked by the board's clock.

The closing time of the newest round that was read is what counts, not this machine's clock: a clock that is
wrong would hide money, or show some that is none.
"""

from bank.ledger.terms import Age, Terms
from wallet.purse import CoinRecord, CoinState, Purse
from wallet.renewal import age_of


def book_expired(purse: Purse, terms: Terms, board_time_s: int) -> None:
    """
    Set free coins aside that are expired, and take back what isn't after all: terms may be more generous now.

    Inside the purse's transaction.
    """
    for row, record in purse.coins(CoinState.FREE, CoinState.EXPIRED).items():
        is_over = age_of(record, terms, board_time_s) is Age.EXPIRED
        if is_over != (record.state is CoinState.EXPIRED):
            purse.change_coin(row, record, state=CoinState.EXPIRED if is_over else CoinState.FREE)


def book_replaced(purse: Purse, coin: bytes) -> None:
    """The board shows a coin of ours as replaced: final. Inside the purse's transaction."""
    found = purse.coin(coin)
    if found is not None and found[1].state is not CoinState.SPENT:
        purse.change_coin(*found, state=CoinState.REPLACED)


def warnings(coins: list[CoinRecord], terms: Terms, now_s: float) -> list[str]:
    """What a member should know of his coins' age: a sentence each, the most urgent first."""
    expired = [each for each in coins if each.state is CoinState.EXPIRED]
    free = [each for each in coins if each.state is CoinState.FREE]
    grace = [each for each in free if age_of(each, terms, now_s) is Age.GRACE]
    last = [each for each in free if age_of(each, terms, now_s) is Age.LAST]
    said = []
    if grace:
        said.append(
            f"{_units(grace)} are in their grace and can only be exchanged any more; "
            "any command that pays, or the agent, does that first"
        )
    if last:
        said.append(f"{_units(last)} are in the last epoch of their life; what you pay next renews them")
    if expired:
        said.append(
            f"{_units(expired)} are expired and no money any more; what was withdrawn and never spent can be "
            "replaced to the account: mixmint wallet replace"
        )
    return said


def _units(coins: list[CoinRecord]) -> str:
    units = sum(coin.units for coin in coins)
    return f"{units:,} unit{'' if units == 1 else 's'} in {len(coins):,} coin{'' if len(coins) == 1 else 's'}"
