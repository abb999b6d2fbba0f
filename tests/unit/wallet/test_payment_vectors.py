"""The payments' vectors, against their maker, the second implementation, and the code's own readers."""

import json
from typing import Any

import pytest

from bank.board.log.note import VerifierKey
from tests.unit.bank.second_implementation import Cut, h, open_answer, read_order
from tests.unit.wallet import second_payment as second
from tests.vectors.make_payment import FILE, as_text
from wallet.notices.notice import decode_notice, parse_notice
from wallet.payment_request import parse_uri
from wallet.receipts.checking import Trusted, check_receipt
from wallet.receipts.receipt import read_receipt


@pytest.fixture(scope="module")
def vectors() -> Any:
    return json.loads(FILE.read_text())


def test_the_file_is_what_its_maker_makes() -> None:
    """Formats can't change unnoticed."""
    assert FILE.read_text() == as_text()


def test_request_of_version_2(vectors: Any) -> None:
    """payment-request.md, section 6."""
    given = vectors["request"]
    request = second.read_request(given["uri"])
    assert request["digest"].hex() == given["digest"] == parse_uri(given["uri"]).digest().hex()
    assert (request["last_round"], request["note"], request["tau"]) == (1000, "two books", b"\x05" * 32)
    assert (request["key"], request["blocks"]) == (b"\x06" * 32, [b"\x07" * 258, b"\x08" * 258])


def test_mark_and_its_openings(vectors: Any) -> None:
    """mark.md."""
    given = vectors["mark"]
    shown = {name: second.read_opening(bytes.fromhex(given[name])) for name in ("all", "note", "none")}
    assert {mark.hex() for mark, _ in shown.values()} == {given["mark"]}
    contents = {name: sorted(parts) for name, (_, parts) in shown.items()}
    assert contents == {"all": [1, 2, 3], "note": [2], "none": []}
    assert shown["all"][1][3].decode() == "Miete für November"
    assert shown["note"][1] == {2: b"for the roof"}


def test_notices(vectors: Any) -> None:
    """notice.md: the same bytes as text; each holds what it should."""
    notices = {name: bytes.fromhex(each["bytes"]) for name, each in vectors["notices"].items()}
    for name, data in notices.items():
        text = vectors["notices"][name]["text"]
        assert second.read_notice_text(text) == data
        assert parse_notice(text) == decode_notice(data)
        assert decode_notice(data).encode() == data
    secret = bytes.fromhex(vectors["hold"]["secret"])
    found = h("mixmint/hold-h/v1", secret)
    assert found.hex() == vectors["hold"]["h"]
    bank = bytes.fromhex(vectors["receipt"]["bank"])
    cut = Cut(notices["hold"])
    assert cut.number(1) == 1
    order = read_order(cut(cut.number(2)))
    assert order["holds"]
    request = second.read_request(vectors["hold"]["uri"])
    assert order["tau"] == request["tau"] == h("mixmint/tau/v1", found)
    kind, subject, body = open_answer(cut.left, bank, h("mixmint/bank/v1", bank))
    assert (kind, subject, body) == (7, order["seal"], (8).to_bytes(4, "big") + (67).to_bytes(4, "big"))
    cut = Cut(notices["sealed"])
    assert cut.number(1) == 2
    order = read_order(cut(cut.number(2)))
    mark, shown = second.read_opening(cut.left)
    assert order["holds"]
    assert mark == order["note"]
    assert sorted(shown) == [1, 3]
    wanted = second.read_refund(notices["refund"], bank)
    assert wanted["paid"] == shown[1]
    assert wanted["seals"] == {order["seal"]}
    assert wanted["rounds"] == [2]


def test_receipt(vectors: Any) -> None:
    """receipt.md, by both."""
    given = vectors["receipt"]
    log = VerifierKey.parse(given["log"])
    found = second.check_receipt(given["file"], log.name, log.public)
    assert found["rounds"] == [2]
    assert found["note"] == b"for the roof"
    ours = check_receipt(read_receipt(given["file"].encode()), Trusted(log))
    assert (ours.problems, ours.round, ours.note, ours.statement) == ((), 2, "for the roof", None)
    assert (ours.units, ours.asked) == (8, 8)


def test_receipt_of_several_orders(vectors: Any) -> None:
    """receipt.md, version 2, by both."""
    given = vectors["receipt-v2"]
    log = VerifierKey.parse(given["log"])
    found = second.check_receipt(given["file"], log.name, log.public)
    assert (found["rounds"], found["note"]) == ([2, 3], b"for the roof")
    ours = check_receipt(read_receipt(given["file"].encode()), Trusted(log))
    assert (ours.problems, ours.units, ours.asked, ours.round) == ((), 12, 12, 3)
