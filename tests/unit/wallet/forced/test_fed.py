"""A board that keeps back what it has taken from its bank: the bank has the receipts in hand."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from bank.board.accusation.file import check_file
from bank.board.audit.audit import Audit, Report
from bank.board.audit.fed import FedReceipt
from bank.board.audit.finding import Weight
from bank.board.feed import Batch
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.evidence import fed_receipts
from bank.formats.entry import Kind
from mixmint.errors import MalformedMessage, UserError
from tests.unit.bank.board.logs import BEGIN_S
from tests.unit.wallet.forced.court import IMPATIENT_S, Court


async def fed(court: Court) -> list[FedReceipt]:
    found = await court.store.read(fed_receipts)
    return [FedReceipt.decode(each.encode()) for each in found.values()]


async def audited(court: Court, receipts: list[FedReceipt]) -> Report:
    maker = court.board.maker
    reader = LogReader(FolderSource(maker.folder.path), maker.verifier)
    with ThreadPoolExecutor(1) as pool:
        return await Audit(reader, pool, 1, fed=receipts).run(BEGIN_S + maker.round)


@pytest.mark.parametrize("kept_back", [Kind.CERTIFIED, Kind.SPENT])
async def test_what_the_board_took_and_never_showed_convicts_it(court: Court, kept_back: Kind) -> None:
    """Each file alone, with the log: which entry of which group is missing, is found by the audit."""
    ann = await court.funded()
    await court.ticks(2)
    assert await fed(court) == []
    court.board.bends = lambda entries: [each for each in entries if each[0] != kept_back]
    with suppress(UserError), ann.teller.hurry(IMPATIENT_S):
        await ann.cashier.exchange(None)
    early = await fed(court)
    await court.ticks(4)
    receipts = await fed(court)
    report = await audited(court, receipts)
    verdicts = [check_file(each.accusation) for each in report.findings if each.accusation]
    accused = [
        each.whom.board for each in verdicts if each.holds and "took the bank's entries" in each.sentence
    ]
    assert court.board.maker.verifier in accused
    assert early == receipts[: len(early)]
    # Not all rounds of the log must be shown: the receipt before says that nothing of it was there by then.
    assert receipts[0].waited is not None
    assert receipts[0].waited.receipt.next_group <= Batch.decode(receipts[0].batch).first


async def test_a_board_that_keeps_its_word_is_not_accused(court: Court) -> None:
    """Whatever receipts it is shown; forged ones are none."""
    ann = await court.funded()
    with suppress(UserError), ann.teller.hurry(IMPATIENT_S):
        await ann.cashier.exchange(None)
    confirm, court.confirmer.step = court.confirmer.step, _nothing  # type: ignore[method-assign]  # reads none
    await ann.cashier.exchange(None)
    receipts = await fed(court)
    assert receipts
    court.confirmer.step = confirm  # type: ignore[method-assign]  # it goes on
    assert (await audited(court, receipts)).passed
    later = FedReceipt(receipts[-1].receipt, receipts[-1].batch + b"\x00", receipts[-1].waited)
    report = await audited(court, [later])
    assert [each.weight for each in report.findings] == [Weight.NOTE]
    for data in (b"", receipts[0].encode()[:-1], receipts[0].encode() + b"\x00"):
        with pytest.raises(MalformedMessage):
            FedReceipt.decode(data)


async def _nothing() -> bool:
    return False
