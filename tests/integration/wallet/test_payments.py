"""Payments that need more than one step, through a real cascade, bank and board, as people type them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mixmint.demo.network import PORTS, Pace, init_network
from mixmint.demo.processes import Processes
from tests.integration.wallet.people import Person, Place, run
from tests.ports import free_ports

QUESTION = "the tax office asks: question 17"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A network whose holds outlast a slow machine: its rounds take a tenth of a second."""
    folder: Path = tmp_path_factory.mktemp("network")
    specs = init_network(folder, Pace(tick_ms=50, round_ms=100), free_ports(PORTS))
    settings = folder / "bank" / "bank.toml"
    settings.write_text(settings.read_text() + "hold_rounds = 6000\n")
    processes = Processes(folder)
    try:
        processes.start(specs)
        yield Place(folder, processes, {spec.name: spec for spec in specs})
    finally:
        processes.stop()


@pytest.fixture(scope="module")
def pair(place: Place) -> tuple[Person, Person]:
    """A payer with 40 units in coins, and a payee."""
    ann, bob = place.person("payer", "g1", 60), place.person("payee", "g2")
    (ann.home / "wallet.toml").write_text("order_rounds = 3000\n")
    ann.run("withdraw", "40")
    return ann, bob


def test_hold_travels_by_reply_blocks_and_is_captured(pair: tuple[Person, Person], tmp_path: Path) -> None:
    """Neither knows the other's address; the QR code is a picture; the payer's balance says what is kept."""
    ann, bob = pair
    picture = tmp_path / "request.svg"
    asked = bob.json("request", "8", "--hold", "--qr", str(picture))
    assert asked["hold"]
    assert b"<svg" in picture.read_bytes()
    held = ann.json("pay", stdin=asked["uri"])
    assert held["state"] == "held"
    assert ann.json("balance")["kept"] == 8
    captured = bob.json("capture", str(asked["operation"]))
    assert (captured["kind"], captured["state"], captured["amount"]) == ("capture", "settled", 8)
    shown = ann.json("history")["operations"][-1]
    assert (shown["kind"], shown["state"]) == ("pay", "settled")


def test_sealed_payment_with_a_statement_and_its_proof(pair: tuple[Person, Person], tmp_path: Path) -> None:
    """Handed over as a file; proved to a reader who has only the network's file, offline."""
    ann, bob = pair
    names = ("request", "rent", "note", "payment", "to", "receipt")
    request, rent, note, payment, to, receipt = (tmp_path / name for name in names)
    rent.write_text("rent for November\n")
    note.write_text("the blue house\n")
    to.write_text(QUESTION)
    row = bob.json("request", "5", "--out", str(request))["operation"]
    words = ("pay", "--file", str(request), "--statement", str(rent), "--note", str(note), "--now")
    signed = ann.json(*words, "--out", str(payment))
    assert (signed["state"], signed["statement"]) == ("handed over", "rent for November")
    taken = bob.json("receive", str(payment))
    assert (taken["state"], taken["request"], taken["statement"]) == ("settled", row, "rent for November")
    ann.run("prove", str(signed["operation"]), "--to", str(to), "--out", str(receipt), "--hide-note")
    shown = bob.json("check-proof", str(receipt))
    assert (shown["holds"], shown["units"], shown["to"]) == (True, 5, QUESTION)
    assert (shown["statement"], shown["note"]) == ("rent for November", None)
    stranger = run("wallet", "check-proof", str(receipt), "--home", str(tmp_path / "nobody"), code=1)
    assert "--policy FILE" in stranger.stderr
    assert "checked only in part" in stranger.stdout


def test_cancelled_paid_and_paid_back(pair: tuple[Person, Person]) -> None:
    """The payer asks for it back by the reply blocks; the payee pays, once."""
    ann, bob = pair
    asked = bob.json("request", "2", "--reply")
    row = str(asked["operation"])
    assert bob.json("cancel", row)["state"] == "cancelled"
    paid = ann.json("pay", "--now", stdin=asked["uri"])
    assert bob.json("history")["operations"][-1]["state"] == "paid"
    ann.run("ask-refund", str(paid["operation"]))
    back = bob.json("refund", row, "--now")
    assert (back["state"], back["amount"], back["refunds"]) == ("settled", 2, asked["operation"])
    twice = bob.run("refund", row, "--now", code=1)
    assert "is paid already" in twice.stderr
    assert ann.json("history")["operations"][-1]["state"] == "paid"
