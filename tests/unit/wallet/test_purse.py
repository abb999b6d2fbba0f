"""The purse on disk: sealed, counted before use, one bank's, whole after a failed write."""

from pathlib import Path

import pytest

from mixmint.errors import FatalError, UserError
from mixmint.sealing import Sealer
from wallet.derivation import Purpose, account_key, derive
from wallet.machines.invoice import InvoiceState
from wallet.payment_request import PaymentRequest
from wallet.purse import CoinState, Purse

BANK = b"\x0b" * 32
SEED = b"\x05" * 32
SEALER = Sealer(b"\x01" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wallet.db"


def test_nothing_about_coins_can_be_read_from_the_file(path: Path) -> None:
    """No secret, no id, no request, no seed, no kind of operation."""
    purse = Purse.create(path, SEALER, BANK, SEED)
    with purse.transaction():
        outputs = purse.expect(Purpose.INVOICE, [0, 2], 1, recognisable=True)
        request = PaymentRequest(BANK, 9, outputs, "for the books")
        purse.add_operation(InvoiceState(request=request.encode(), grace_rounds=1), 0)
    secrets = [record.secret for record in purse.coins().values()]
    purse.close()
    stored = b"".join(file.read_bytes() for file in path.parent.iterdir())
    for hidden in (
        SEED,
        *secrets,
        *(each.coin for each in outputs),
        b"books",
        b"invoice",
        request.uri().encode(),
    ):
        assert hidden not in stored
    assert path.stat().st_mode & 0o077 == 0


def test_counters_go_on_after_a_restart_and_never_repeat(path: Path) -> None:
    """Each purpose by itself; the secret is the one that the seed gives."""
    purse = Purse.create(path, SEALER, BANK, SEED)
    with purse.transaction():
        purse.expect(Purpose.WITHDRAW, [1, 1], 1)
        purse.expect(Purpose.EXCHANGE, [1], 1)
    purse.close()
    purse = Purse(path, SEALER, BANK)
    with purse.transaction():
        purse.expect(Purpose.WITHDRAW, [1], 2)
    secrets = [record.secret for record in purse.coins().values()]
    expected = [(Purpose.WITHDRAW, 0), (Purpose.WITHDRAW, 1), (Purpose.EXCHANGE, 0), (Purpose.WITHDRAW, 2)]
    assert secrets == [derive(SEED, BANK, 0, purpose, counter) for purpose, counter in expected]
    assert purse.account().public == account_key(SEED, BANK).public
    purse.close()


def test_failed_transaction_leaves_nothing(path: Path) -> None:
    """Neither coin nor counter: so no secret is skipped or used twice."""
    purse = Purse.create(path, SEALER, BANK, SEED)

    class Crash(BaseException):
        pass

    def make_one_and_crash() -> None:
        with purse.transaction():
            purse.expect(Purpose.WITHDRAW, [1], 1)
            raise Crash

    with pytest.raises(Crash):
        make_one_and_crash()
    assert purse.coins() == {}
    with purse.transaction():
        purse.expect(Purpose.WITHDRAW, [1], 1)
    (record,) = purse.coins(CoinState.EXPECTED).values()
    assert record.counter == 0
    purse.close()


def test_the_wrong_key_the_wrong_bank_and_a_second_init_are_refused(path: Path) -> None:
    """Each before anything is touched."""
    Purse.create(path, SEALER, BANK).close()
    with pytest.raises(FatalError):
        Purse(path, Sealer(b"\x02" * 32), BANK)
    with pytest.raises(UserError, match="another bank"):
        Purse(path, SEALER, b"\x0c" * 32)
    with pytest.raises(UserError, match="exists already"):
        Purse.create(path, SEALER, BANK)
    with pytest.raises(UserError, match="wallet init"):
        Purse(path.with_name("none.db"), SEALER, BANK)


def test_killed_init_leaves_nothing_in_the_way(path: Path) -> None:
    """Under its name a purse is whole; what a kill left beside it is made again."""
    path.with_name("wallet.db.new").write_bytes(b"half of a database")
    path.with_name("wallet.db.new-wal").write_bytes(b"and more of it")
    Purse.create(path, SEALER, BANK, SEED).close()
    assert [each.name for each in path.parent.iterdir()] == ["wallet.db"]


def test_rows_can_not_be_swapped(path: Path) -> None:
    """A sealed value opens in its own row only: whoever writes to the file can't move money between rows."""
    purse = Purse.create(path, SEALER, BANK, SEED)
    with purse.transaction():
        purse.expect(Purpose.WITHDRAW, [1, 5], 1)
        purse._connection.execute("UPDATE coin SET sealed=(SELECT sealed FROM coin WHERE row=2) WHERE row=1")
    with pytest.raises(FatalError):
        purse.coins()
    purse.close()


def test_repr_shows_no_secret(path: Path) -> None:
    """Records are seen in tracebacks."""
    purse = Purse.create(path, SEALER, BANK, SEED)
    with purse.transaction():
        purse.expect(Purpose.WITHDRAW, [3], 1)
    (record,) = purse.coins().values()
    assert repr(record) == "CoinRecord(units=8, state=expected)"
    assert SEED.hex() not in repr(purse)
    purse.close()
