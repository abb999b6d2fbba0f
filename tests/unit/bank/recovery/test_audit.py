"""The log of a bank that was replaced, audited whole: clean, and what is void is told as nobody's crime."""

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from bank.board.accusation.file import check_file
from bank.board.audit.audit import Audit, Report
from bank.board.audit.finding import Fault, Weight
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.reading.client import BoardReader
from bank.claims.clerk import Clerk
from bank.claims.reading import look_for
from bank.confirmer import Confirmer
from bank.feeder import Feeder
from bank.formats.account import NO_HEAD, AccountRequest, Operation, sign_request
from bank.formats.answer import Answer
from bank.formats.claim import Claim, ShownCertificate
from bank.formats.coin import CoinId, CoinKey, coin_id, sign_certificate
from bank.formats.entry import AnswerEntry, CertifiedEntry, StatementEntry, make_key_entry
from bank.formats.order import SPEND_LABEL, Order, Output, sign_order
from bank.formats.request import Withdraw
from bank.formats.statement import Row, Tally, sign_statement, units_of
from bank.ledger import Terms
from bank.statements import Statements
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation import succeeded
from tests.unit.wallet.succession import AUTHORITIES, NETWORK, Handover
from tests.unit.wallet.town import NOW_S, Town, Wallet

NEW, THIRD = SigningKey(b"n" * 32), SigningKey(b"o" * 32)


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ProcessPoolExecutor(1) as running:
        yield running


def reader_of(town: Town) -> LogReader:
    return LogReader(FolderSource(town.board.maker.folder.path), town.board.maker.verifier)


async def audited(town: Town, pool: Executor) -> Report:
    return await Audit(reader_of(town), pool, 1, authorities=NETWORK).run(NOW_S)


class Counting:
    """A bank that reads its board back, and states what it did."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.confirmer = Confirmer(
            town.store, BoardReader(reader_of(town)), town.folder / "evidence", pause_s=0
        )
        entry = make_key_entry(town.key, town.signer.bank).encode()
        town.feeder = Feeder(
            town.store,
            town.board,
            entry,
            town.clock,
            pause_s=0,
            signer=town.signer,
            statements=Statements(town.signer, 2),
        )

    async def rounds(self, count: int = 4) -> None:
        for _ in range(count):
            await self.town.tick()
            await self.confirmer.step()
        assert self.confirmer.complaint is None


@pytest.mark.parametrize("changes", [1, 2])
async def test_a_log_with_changes_of_the_key_is_clean(tmp_path: Path, pool: Executor, changes: int) -> None:
    """Orders before, above and after each cut; statements of every key."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        counting = Counting(town)
        alice = town.wallet("alice", settle_wait_s=60.0)
        await town.fund(alice, 64)
        await alice.cashier.withdraw(32)
        await counting.rounds()
        for new in (NEW, THIRD)[:changes]:
            await alice.cashier.exchange(32)
            await counting.rounds()
            listed = await handover.list_accounts()
            cut = handover.cut()
            await alice.cashier.exchange(32)
            await handover.lose()
            handover.change(new, cut)
            made = await handover.recover(new, listed)
            assert made.void > 0
            counting = Counting(town)
            await alice.teller.sync()
            await alice.cashier.resume()
            await counting.rounds()
            await alice.cashier.exchange(32)
            await counting.rounds()
        await alice.cashier.deposit(32)
        await counting.rounds()
        report = await audited(town, pool)
        assert report.passed, report.findings
        assert {finding.fault for finding in report.findings} <= {Fault.VOID, Fault.REPEATED}
        assert all(finding.weight is Weight.NOTE for finding in report.findings)
        assert report.changes == changes
        assert report.statements > changes
        assert report.confirmed > cut.size


async def test_a_successor_owes_claims_from_when_he_began(tmp_path: Path) -> None:
    """
    His books take their time: what was claimed since the change is open until then, and claim_rounds more.
    """
    mine = succeeded.claim(succeeded.BANK).entry().encode()
    log = succeeded.Succeeded(tmp_path, early=[mine])

    async def judged(log: succeeded.Succeeded) -> list[str]:
        log.publish()
        reader = LogReader(FolderSource(log.folder.path), log.verifier)
        with ThreadPoolExecutor(1) as pool:
            report = await Audit(reader, pool, 1, authorities=succeeded.NETWORK).run(NOW_S)
        return [each.fault for each in report.findings if each.weight is Weight.CHEAT]

    for _ in range(succeeded.ROUNDS - 1):
        log.close([])
        assert await judged(log) == []
    log.close([])
    assert await judged(log) == [Fault.CLAIM]
    late = succeeded.Succeeded(tmp_path / "late", early=[mine], begins=False)
    for _ in range(2 * succeeded.ROUNDS):
        late.close([])
    assert await judged(late) == []


async def test_nobody_is_framed_by_what_the_old_key_signs_afterwards(tmp_path: Path, pool: Executor) -> None:
    """A thief certifies, states and confirms what he likes: of the bank and its board nothing is said."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        counting = Counting(town)
        alice = town.wallet("alice", settle_wait_s=60.0)
        await town.fund(alice, 64)
        await alice.cashier.withdraw(32)
        await counting.rounds()
        listed, cut, old, bank = await handover.list_accounts(), handover.cut(), town.key, town.signer.bank
        taken = next(iter(alice.purse.coins().values()))
        stolen = SigningKey(b"t" * 32)
        lie = (Row(4, 1, Tally(withdrawn=1, spent=7)),)
        signature = stolen.sign(SPEND_LABEL, bytes(32))
        for coin, exponent in ((taken.id(), 20), (coin_id(stolen.public), 9)):
            certificate = sign_certificate(old, bank, exponent, 1, coin)
            town.board.posted.append(CertifiedEntry(coin, exponent, 1, certificate).encode())
        spent = b"\x04" + stolen.public + bytes(32) + signature
        said = sign_statement(old, bank, 9, 5, b"r" * 32, units_of(lie), lie)
        town.board.posted += [spent, StatementEntry(said).encode()]
        await handover.lose()
        handover.change(NEW, cut)
        await handover.recover(NEW, listed)
        counting = Counting(town)
        await alice.cashier.exchange(32)
        await counting.rounds()
        report = await audited(town, pool)
        assert report.passed, report.findings
        assert sum(finding.fault is Fault.VOID for finding in report.findings) == 3


def withdrawal(town: Town, wallet: Wallet) -> Claim:
    """A withdrawal, claimed; any answer will do."""
    account = wallet.purse.account()
    request = AccountRequest(
        town.signer.bank,
        account.public,
        9,
        NO_HEAD,
        Operation.WITHDRAW,
        bytes(16),
        900,
        outputs=(Output(CoinId(bytes(32)), 3),),
    )
    return Claim(Withdraw(sign_request(account, request)))


async def test_a_change_that_does_not_count_hides_no_silence(tmp_path: Path, pool: Executor) -> None:
    """A board may put into its log what too few authorities signed."""
    async with Town(tmp_path, Terms(hold_rounds=10, promise_rounds=3, claim_rounds=6)) as town:
        handover = Handover(town)
        alice = town.wallet("alice")
        await town.fund(alice, 8)
        await town.tick()
        town.board.posted.append(withdrawal(town, alice).entry().encode())
        await town.tick()
        handover.change(NEW, by=AUTHORITIES[:1])
        for _ in range(7):
            await town.tick()
        report = await audited(town, pool)
        assert [each.fault for each in report.findings if each.weight is Weight.CHEAT] == [Fault.CLAIM]


async def test_a_successor_who_leaves_a_claim_of_a_coin_of_his_own_is_found_out(
    tmp_path: Path, pool: Executor
) -> None:
    """Its certificate is by his key, not by the founding one."""
    async with Town(tmp_path, Terms(hold_rounds=10, promise_rounds=3, claim_rounds=6)) as town:
        handover = Handover(town)
        await town.tick()
        listed = await handover.list_accounts()
        await handover.lose()
        handover.change(NEW)
        await handover.recover(NEW, listed)
        secret, bank = SigningKey(b"x" * 32), town.signer.bank
        order = Order(bank, bytes(16), 900, (CoinKey(secret.public),), (Output(CoinId(bytes(32)), 3),))
        certificate = sign_certificate(NEW, bank, 3, 1, coin_id(secret.public))
        claim = Claim(sign_order(order, [secret], bytes(16)), (ShownCertificate(3, 1, certificate),))
        town.board.posted.append(claim.entry().encode())
        for _ in range(9):
            await town.tick()
        report = await audited(town, pool)
        (finding,) = [each for each in report.findings if each.weight is Weight.CHEAT]
        assert finding.fault is Fault.CLAIM
        assert finding.accusation is not None
        verdict = check_file(finding.accusation, NETWORK)
        assert verdict.holds, verdict.sentence
        assert (verdict.whom.bank, verdict.whom.founding) == (NEW.public, handover.keys.founding)


async def test_a_successor_who_answers_claims_is_not_called_silent(tmp_path: Path, pool: Executor) -> None:
    """He signs with a key of his own, and owes what everyone is shown that he gave."""
    terms = Terms(hold_rounds=10, promise_rounds=3, claim_rounds=6)
    async with Town(tmp_path, terms) as town:
        handover = Handover(town)
        alice = town.wallet("alice")
        await town.fund(alice, 8)
        await town.tick()
        listed = await handover.list_accounts()
        await handover.lose()
        handover.change(NEW)
        await handover.recover(NEW, listed)
        reader, look = BoardReader(reader_of(town)), look_for(town.signer, handover.keys.all[:1])
        confirmer = Confirmer(town.store, reader, town.folder / "evidence", pause_s=0, look=look)
        clerk = Clerk(town.store, town.signer, town.clock, pause_s=0)
        claim = withdrawal(town, alice)
        town.board.posted.append(claim.entry().encode())
        for _ in range(9):
            await town.tick()
            await confirmer.step()
            await clerk.step()
        (given,) = [entry for entry in town.board.entries() if isinstance(entry, AnswerEntry)]
        assert Answer.decode(given.body).subject == claim.answer_subject
        report = await audited(town, pool)
        assert report.passed, report.findings


async def test_a_successor_who_cheats_is_found_out(tmp_path: Path, pool: Executor) -> None:
    """One coin with two values: the audit fails, and its file holds alone for who knows the authorities."""
    async with Town(tmp_path) as town:
        handover = Handover(town)
        listed = await handover.list_accounts()
        await handover.lose()
        handover.change(NEW)
        await handover.recover(NEW, listed)
        coin = coin_id(SigningKey(b"x" * 32).public)
        for exponent in (3, 4):
            certificate = sign_certificate(NEW, town.signer.bank, exponent, 1, coin)
            town.board.posted.append(CertifiedEntry(coin, exponent, 1, certificate).encode())
        await town.tick()
        report = await audited(town, pool)
        assert not report.passed
        (finding,) = [each for each in report.findings if each.weight is Weight.CHEAT]
        assert finding.fault is Fault.CERTIFIED_TWICE
        assert finding.accusation is not None
        assert check_file(finding.accusation, NETWORK).holds
        assert "--network FILE" in check_file(finding.accusation).sentence
