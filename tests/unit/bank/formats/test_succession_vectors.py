"""Changes of a bank's key: their vectors, a second reader, the page."""

import json
from pathlib import Path
from typing import Any

import pytest

from bank.formats.account import Operation, SignedStatement
from bank.formats.entry import KeyChangeEntry, check_entry, decode_entry
from bank.formats.fields import Reader
from bank.formats.succession import BankKeys
from mixmint.errors import MalformedMessage
from tests.unit.bank import second_implementation as second
from tests.vectors.make_succession import AUTHORITIES, FILE, SECOND, as_text

PAGE = Path(__file__).parents[4] / "docs/spec/succession.md"


@pytest.fixture(scope="module")
def vectors() -> Any:
    return json.loads(FILE.read_text())


def test_the_file_is_what_its_maker_makes() -> None:
    """The format can't change unnoticed."""
    assert FILE.read_text() == as_text()


def test_both_implementations_read_the_same(vectors: Any) -> None:
    """Every field, who signed, and which key counts where."""
    founding = bytes.fromhex(vectors["bank"]["founding"])
    keys, others = BankKeys(founding), []
    for given in vectors["changes"]:
        data = bytes.fromhex(given["entry"])
        entry = decode_entry(data)
        assert isinstance(entry, KeyChangeEntry)
        change, read = entry.change, second.read_key_change(data)
        others.append(read)
        keys = keys.after(change)
        assert change.holds([each.public for each in AUTHORITIES], 2)
        assert read["bank"] == change.bank == keys.id
        assert read["number"] == change.number == given["number"]
        assert (read["size"], read["root"]) == (change.cut.size, change.cut.root)
        assert read["answer_rounds"] == change.answer_rounds == given["answer_rounds"]
        for name in ("old", "new", "root"):
            assert read[name] == bytes.fromhex(given[name])
        assert [each.hex() for each in read["signed_by"]] == given["signed_by"]  # type: ignore[attr-defined]
    for given in vectors["key_at"]:
        wanted = bytes.fromhex(given["key"])
        assert keys.key_at(given["leaf"]) == second.key_at(founding, others, given["leaf"]) == wanted


def test_a_changed_bit_makes_a_signature_nobodys(vectors: Any) -> None:
    """All 144 bytes are signed."""
    data = bytes.fromhex(vectors["changes"][0]["entry"])
    for at in range(1, 145):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            entry = decode_entry(changed)
        except MalformedMessage:
            continue
        assert isinstance(entry, KeyChangeEntry)
        assert not entry.change.holds([each.public for each in AUTHORITIES], 1)


def test_malformed_ones_have_their_reason(vectors: Any) -> None:
    """The fast check of entries refuses them too."""
    for reason, each in vectors["malformed"].items():
        for data in map(bytes.fromhex, each):
            for read in (decode_entry, check_entry):
                with pytest.raises(MalformedMessage) as caught:
                    read(data)
                assert caught.value.reason == reason


def test_the_first_statement_of_a_successor(vectors: Any) -> None:
    """Operation 5, no amount, by the new key."""
    data = bytes.fromhex(vectors["recovered"])
    signed = SignedStatement.read(Reader(data))
    assert signed.holds(SECOND.public)
    assert signed.statement.operation is Operation.RECOVERED
    read = second.read_statement(second.Cut(data), SECOND.public)
    assert (read["operation"], read["amount"], read["balance"], read["holds"]) == (5, 0, 77, True)


def test_the_page_shows_the_first(vectors: Any) -> None:
    """The bytes in the page are the file's."""
    shown = "".join(PAGE.read_text().split())
    assert vectors["changes"][0]["entry"][2:290] in shown
