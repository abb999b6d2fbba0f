"""The cash vectors, against their maker and against the second implementation."""

import json
from typing import Any

import pytest

from tests.unit.bank import second_implementation as second
from tests.unit.bank.second_implementation import Cut, h
from tests.vectors.make_cash import EPOCH, FILE, ROUND, as_text


def unhex(value: Any) -> Any:
    """Hex strings as bytes, all the way down."""
    if isinstance(value, dict):
        return {name: unhex(each) for name, each in value.items() if name != "about"}
    if isinstance(value, list):
        return [unhex(each) for each in value]
    return bytes.fromhex(value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def vectors() -> Any:
    return unhex(json.loads(FILE.read_text()))


def test_the_file_is_what_its_maker_makes() -> None:
    """Formats can't change unnoticed."""
    assert FILE.read_text() == as_text()


def test_coins_and_the_certificate(vectors: Any) -> None:
    """coin.md, sections 1 to 3."""
    bank = vectors["bank"]
    assert second.public_of(bank["seed"]) == bank["public"]
    assert h("mixmint/bank/v1", bank["public"]) == bank["id"]
    for coin in vectors["coins"]:
        assert second.public_of(coin["secret"]) == coin["key"]
        assert h("mixmint/coin/v1", coin["key"]) == coin["id"]
    given = vectors["certificate"]
    fields = given["coin"], given["exponent"], given["epoch"], given["signature"]
    assert second.certificate_holds(bank["public"], bank["id"], *fields)
    assert not second.certificate_holds(bank["public"], bank["id"], given["coin"], 6, *fields[2:])
    exponent, epoch = given["exponent"].to_bytes(1, "big"), given["epoch"].to_bytes(4, "big")
    assert given["bearer"] == vectors["coins"][0]["secret"] + exponent + epoch + given["signature"]


def test_orders(vectors: Any) -> None:
    """order.md, sections 2 and 3."""
    bank, asked = vectors["bank"], vectors["requests"]
    for name, kind in (("exchange", 1), ("hold", 1)):
        assert asked[name]["bytes"][0] == kind
        order = second.read_order(asked[name]["bytes"][1:])
        assert order["holds"]
        assert order["bank"] == bank["id"]
        assert order["seal"] == asked[name]["subject"]
    assert second.read_order(asked["exchange"]["bytes"][1:])["tau"] == bytes(32)
    assert h("mixmint/tau/v1", vectors["tau"]["h"]) == vectors["tau"]["tau"]
    assert second.read_order(asked["hold"]["bytes"][1:])["tau"] == vectors["tau"]["tau"]
    assert asked["execute"]["bytes"] == b"\x02" + asked["hold"]["subject"] + vectors["tau"]["h"]
    assert asked["execute"]["subject"] == asked["hold"]["subject"]


def test_account_requests(vectors: Any) -> None:
    """account.md, sections 2 and 3."""
    asked = vectors["requests"]
    for name, kind, operation in (("withdraw", 3, 3), ("deposit", 4, 4)):
        cut = Cut(asked[name]["bytes"])
        assert cut.number(1) == kind
        request = second.read_account_request(cut)
        assert request["holds"]
        assert request["operation"] == operation
        assert request["digest"] == asked[name]["subject"]
        if name == "deposit":
            order = second.read_order(cut.left)
            assert order["holds"]
            assert (order["seal"], order["account"]) == (request["seal"], request["account"])
        else:
            assert not cut.left
    cut = Cut(asked["replace"]["bytes"])
    assert cut.number(1) == 6
    replaced, withdrawn = second.read_account_request(cut), second.read_account_request(cut)
    booked = second.read_statement(cut, vectors["bank"]["public"])
    assert not cut.left
    assert all(each["holds"] for each in (replaced, withdrawn, booked))
    assert (replaced["operation"], withdrawn["operation"], booked["operation"]) == (6, 3, 3)
    assert replaced["seal"] == withdrawn["digest"] == booked["digest"]
    assert replaced["outputs"] == withdrawn["outputs"]
    assert replaced["digest"] == asked["replace"]["subject"]
    data = asked["statements"]["bytes"]
    assert data[0] == 5
    assert second.holds(data[33:65], data[73:], "mixmint/read-account/v1", data[1:73])
    assert h("mixmint/request-subject/v1", data) == asked["statements"]["subject"]


def test_answers(vectors: Any) -> None:
    """order.md, section 4: all nine kinds, and the proofs in them."""
    bank, key = vectors["bank"]["id"], vectors["bank"]["public"]
    opened = {name: second.open_answer(data, key, bank) for name, data in vectors["answers"].items()}
    names = [
        "certificates",
        "credited",
        "spent",
        "taken-certified",
        "held",
        "refused",
        "hold",
        "withdrawn",
        "statements",
    ]
    assert [opened[name][0] for name in names] == [1, 2, 3, 4, 5, 6, 7, 8, 9]

    kind, subject, body = opened["certificates"]
    order = second.read_order(vectors["requests"]["exchange"]["bytes"][1:])
    assert subject == order["seal"]
    cut = Cut(body)
    assert (cut.number(4), cut.number(4), cut.number(1)) == (ROUND, EPOCH, 2)
    outputs: Any = order["outputs"]
    for coin, exponent in outputs:
        assert second.certificate_holds(key, bank, coin, exponent, EPOCH, cut(64))

    cut = Cut(opened["spent"][2])
    assert cut.number(1) == 0
    coin_key, seal = cut(32), cut(32)
    assert second.holds(coin_key, cut(64), "mixmint/spend/v1", seal)

    cut = Cut(opened["held"][2])
    assert cut.number(1) == 0
    coin_key, seal = cut(32), cut(32)
    assert second.holds(coin_key, cut(64), "mixmint/spend/v1", seal)
    assert cut.left == ROUND.to_bytes(4, "big")

    cut = Cut(opened["taken-certified"][2])
    assert cut(2) == b"\x00\x01"
    coin, exponent, epoch = cut(32), cut.number(1), cut.number(4)
    assert second.certificate_holds(key, bank, coin, exponent, epoch, cut.left)

    cut = Cut(opened["taken-promised"][2])
    assert cut(2) == b"\x01\x02"
    promised = cut(68)
    assert second.holds(key, cut.left, "mixmint/promise/v1", bank, promised)

    assert opened["refused"][2] == b"\x04\x01"
    assert opened["hold"][2] == ROUND.to_bytes(4, "big") + (ROUND + 59).to_bytes(4, "big")
    assert kind == 1


def test_statements_chain(vectors: Any) -> None:
    """account.md, section 1."""
    bank, key = vectors["bank"]["id"], vectors["bank"]["public"]
    cut = Cut(second.open_answer(vectors["answers"]["statements"], key, bank)[2])
    chain = [second.read_statement(cut, key) for _ in range(cut.number(1))]
    assert [each["head"] for each in chain] == vectors["heads"]
    assert all(each["holds"] for each in chain)
    assert [each["sequence"] for each in chain] == [1, 2, 3]
    assert [each["balance"] for each in chain] == [0, 100, 68]
    assert [each["previous"] for each in chain] == [bytes(32), *vectors["heads"][:2]]
    assert chain[2]["digest"] == vectors["requests"]["withdraw"]["subject"]
    cut = Cut(second.open_answer(vectors["answers"]["withdrawn"], key, bank)[2])
    assert second.read_statement(cut, key) == chain[2]
    assert (cut.number(4), cut.number(4), cut.number(1)) == (ROUND, EPOCH, 1)
    assert cut.left == vectors["certificate"]["signature"]
    cut = Cut(second.open_answer(vectors["answers"]["credited"], key, bank)[2])
    assert second.read_statement(cut, key) == chain[1]
    assert not cut.left


def test_entries(vectors: Any) -> None:
    """coin.md, section 4."""
    bank, given = vectors["bank"], vectors["entries"]
    assert given["key"][:65] == b"\x01" + bank["id"] + bank["public"]
    assert second.holds(bank["public"], given["key"][65:], "mixmint/key-entry/v1", given["key"][1:65])
    certificate = vectors["certificate"]
    fields = b"\x05" + EPOCH.to_bytes(4, "big")
    assert given["certified"] == b"\x03" + certificate["coin"] + fields + certificate["signature"]
    spent = given["spent"]
    assert spent[0] == 4
    assert second.holds(spent[1:33], spent[65:], "mixmint/spend/v1", spent[33:65])
    assert given["account"][0] == 2
    assert len(given["account"]) == 33
