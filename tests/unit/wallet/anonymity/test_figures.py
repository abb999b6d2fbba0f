"""The two figures of a coin, and what several come to."""

from wallet.anonymity.figures import TINY, Figures, figures_of, summary
from wallet.purse import CoinRecord, CoinState


def coin(exponent: int = 2, exchanges: int = 0) -> CoinRecord:
    return CoinRecord(
        secret=bytes(32),
        exponent=exponent,
        state=CoinState.FREE,
        purpose=1,
        counter=0,
        exchanges=exchanges,
        epoch=1,
        beside=4,
    )


def test_figures_are_of_the_coins_value_and_epoch() -> None:
    """Another value's crowd is no help, and what nobody stated is unknown, not zero."""
    alike = {(2, 1): 41, (2, 2): 900}
    assert figures_of(coin(exchanges=3), alike) == Figures(41, 3, 4)
    assert figures_of(coin(exponent=3), alike) == Figures(None, 0, 4)
    assert not figures_of(coin(exponent=3), alike).is_tiny


def test_a_coin_is_at_least_itself() -> None:
    """A statement that leaves it out doesn't make it none of nothing."""
    assert figures_of(coin(), {(2, 1): 0}).public == 1


def test_summary_is_the_weakest() -> None:
    """Whoever looks for somebody takes the coin that is easiest to find."""
    figures = [Figures(41, 2, 3), Figures(3, 5, 3), Figures(None, 0, 0)]
    made = summary(figures)
    assert (made.coins, made.public, made.exchanges) == (3, 3, 0)
    assert (made.tiny, made.unknown, made.fresh) == (1, 1, 1)
    assert (Figures(TINY, 0, 0).is_tiny, Figures(TINY - 1, 0, 0).is_tiny) == (False, True)
    assert summary([]).public is None
