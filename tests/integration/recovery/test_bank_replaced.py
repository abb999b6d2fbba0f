"""A bank is killed in the middle of its work and loses books and key; it is replaced by commands alone."""

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.wallet.people import Place, run


def test_a_bank_is_replaced_from_the_board_and_a_list(place: Place, tmp_path: Path) -> None:
    """Payments under way when it dies; afterwards everybody has what he had, and the audit is clean."""
    folder, network = place.folder, str(place.folder / "network.toml")
    bank, config = folder / "bank", str(folder / "bank" / "bank.toml")
    ann, bob = place.person("ann", "g1", 40), place.person("bob", "g2", 20)
    ann.run("withdraw", "25")
    bob.run("withdraw", "8")
    balances = tmp_path / "balances.json"
    run("bank", "balances", "--config", config, "--out", str(balances))
    listed = json.loads(balances.read_bytes())
    assert listed["total"] == 27

    asked = tmp_path / "request"
    bob.run("request", "13", "--out", str(asked))
    with subprocess.Popen(
        [sys.executable, "-m", "mixmint", "wallet", "pay", "--file", str(asked), "--home", str(ann.home)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as paying:
        place.wait_for_requests(1)
        place.processes.kill("bank")
        paying.kill()
    for lost in bank.glob("bank.*"):
        if lost.name != "bank.toml":
            lost.unlink()

    public = run("bank", "change", "key", str(bank / "bank.key")).stdout.strip()
    change = str(tmp_path / "change")
    drafted = run("bank", "change", "draft", "--network", network, "--new", public, "--out", change)
    assert public in drafted.stdout
    refused = run("bank", "change", "check", change, "--network", network, code=1)
    assert "doesn't count yet" in refused.stderr
    run("bank", "change", "sign", change, "--key", str(folder / "authority.key"), "--yes")
    run("bank", "change", "check", change, "--network", network)
    given = ("--board", place.board_url, "--balances", str(balances), "--change", change)
    early = run("bank", "recover", str(bank), *given, code=1)
    assert "the board shows 0 changes" in early.stderr
    assert not (bank / "bank.db").exists()
    published = run("bank", "change", "publish", change, "--network", network)
    assert "the change is on the board" in published.stdout
    place.wait_for_change(public)

    done = run("bank", "recover", str(bank), *given, "--json")
    made = json.loads(done.stdout)
    assert (made["account_units"], made["false_entries"]) == (27, 0)
    place.processes.start([place.specs["bank"]])

    for person in (ann, bob):
        person.run("resume")
    paid = 13 if bob.free == 21 else 0
    assert (ann.free, bob.free) == (25 - paid, 8 + paid)
    ann.run("exchange")
    bob.run("exchange")
    ann.run("deposit", str(ann.free))
    bob.run("deposit", str(bob.free))
    assert ann.json("balance")["account"]["balance"] == 40 - paid
    assert bob.json("balance")["account"]["balance"] == 20 + paid
    audited = run("board", "audit", place.board_url, "--network", network, "--json")
    assert json.loads(audited.stdout)["passed"]
