"""The wallet's commands through a real cascade, bank and board."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.wallet.people import Place, run


def test_a_member_pays_is_paid_and_proves_a_double_spend(place: Place, tmp_path: Path) -> None:
    """The whole way of money: account, coins, invoice, bearer, refusal with proof, account."""
    ann, bob = place.person("ann", "g1", 100), place.person("bob", "g2", 10)
    assert ann.json("withdraw", "25")["state"] == "settled"
    assert [coin["units"] for coin in ann.json("coins")["coins"]] == [16, 8, 1]

    note = tmp_path / "note"
    note.write_text("two books\n")
    asked = bob.json("request", "13", "--note-file", str(note))
    assert bob.json("balance")["incoming"] == 13
    paid = ann.json("pay", "--now", stdin=asked["uri"])
    assert (paid["state"], paid["note"]) == ("settled", "two books")
    assert set(paid["receipt"]) == {"seal", "salt", "order", "signatures"}
    (over,) = bob.json("resume")["over"]
    assert (over["state"], over["arrived"], over["round"]) == ("paid", 13, paid["round"])
    assert (ann.free, bob.free) == (12, 13)
    again = ann.run("pay", "--now", stdin=asked["uri"], code=1)
    assert "paid already" in again.stderr

    file, refusal = tmp_path / "coins", tmp_path / "refusal"
    ann.run("pay", "--bearer", "5", "--out", str(file))
    assert bob.json("receive", str(file))["units"] == 5
    refused = bob.run("receive", str(file), "--json", code=1)
    refusal.write_text(refused.stdout)
    run("wallet", "verify-proof", str(refusal))
    assert (ann.free, bob.free) == (7, 18)

    assert bob.json("deposit", "10")["units"] == 10
    balance = bob.json("balance")
    assert (balance["free"], balance["account"]["balance"]) == (8, 20)
    assert [each["kind"] for each in bob.json("history")["operations"]] == [
        "request",
        "receive",
        "receive",
        "deposit",
    ]

    mine, theirs = tmp_path / "mine.json", tmp_path / "theirs.json"
    chain = bob.json("statement", "--out", str(mine))
    booked = [(each["operation"], each["balance"]) for each in chain["statements"]]
    assert booked[-1] == ("deposit", 20)
    assert (chain["balance"], chain["account"], chain["fault"]) == (20, bob.account, None)
    config = ("--config", str(place.folder / "bank" / "bank.toml"))
    run("bank", "statement", *config, bob.account, "--out", str(theirs))
    run("bank", "check-statement", str(mine), str(theirs), "--network", str(place.folder / "network.toml"))
    nothing = bob.run("replace", "--yes", code=1)
    assert "nothing to replace" in nothing.stderr


def test_payment_from_stock_and_a_waiting_payee(place: Place, tmp_path: Path) -> None:
    """The payee waits at his terminal; the payer makes exact coins first, and no change comes back."""
    ann, bob = place.person("anne", "g1", 32), place.person("bert", "g1")
    ann.run("withdraw", "25")
    file = tmp_path / "request"
    command = [sys.executable, "-m", "mixmint", "wallet", "request", "13", "--wait", "--out", str(file)]
    with subprocess.Popen([*command, "--home", str(bob.home)], stdout=subprocess.PIPE, text=True) as waiting:
        while not file.exists() or not file.read_text().endswith("\n"):
            assert waiting.poll() is None
            time.sleep(0.05)
        ann.run("pay", "--file", str(file))
        shown, _ = waiting.communicate(timeout=180)
    assert waiting.returncode == 0
    assert "paid: 13 of 13 units" in shown
    assert ann.free == 12
    states = {coin["exchanges"] for coin in ann.json("coins")["coins"] if coin["units"] < 8}
    assert 0 not in states


def test_killed_command_is_resumed_by_the_next_one(place: Place, tmp_path: Path) -> None:
    """kill -9 while a payment is under way: the next command, whatever it is, goes on with it."""
    ann, bob = place.person("amy", "g2", 20), place.person("ben", "g2")
    ann.run("withdraw", "20")
    for pause_s in (0.7, 1.2):
        asked = bob.json("request", "3")
        file = tmp_path / f"request{pause_s}"
        file.write_text(asked["uri"])
        with subprocess.Popen(
            [sys.executable, "-m", "mixmint", "wallet", "pay", "--file", str(file), "--home", str(ann.home)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as paying:
            time.sleep(pause_s)
            os.kill(paying.pid, signal.SIGKILL)
        # Killed before the wish was on disk, it is paid now; after that, it has been paid once and stays so.
        again = ann.attempt("pay", "--file", str(file))
        assert again.returncode == 0 or "paid already" in again.stderr, again.stderr
        bob.run("resume")
    assert (ann.free, bob.free) == (14, 6)


def test_bank_down_is_pending_and_gateway_down_is_nothing_happened(place: Place) -> None:
    """Exit code 3 with the next step; exit code 1 before anything was written."""
    ann = place.person("ada", "g2", 8)
    ann.run("withdraw", "8")
    (ann.home / "wallet.toml").write_text("answer_wait_s = 2\n")
    place.processes.kill("bank")
    pending = ann.run("exchange", code=3)
    assert "mixmint wallet resume" in pending.stderr
    assert ann.json("balance")["pending"] == 8
    place.processes.start([place.specs["bank"]])
    (ann.home / "wallet.toml").write_text("answer_wait_s = 60\n")
    ann.run("resume")
    assert ann.free == 8
    place.processes.kill("g2")
    refused = ann.run("exchange", code=1)
    assert len(refused.stderr.strip().splitlines()) == 1
    place.processes.start([place.specs["g2"]])
    assert ann.free == 8
