"""A bank that cheats, over the real mixes: real processes, the real board, the member's commands."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixmint.demo.processes import DaemonSpec
from tests.integration.wallet.people import ENOUGH_S, Person, Place, run

IMPATIENT = """
claim_after_rounds = 20
answer_wait_s = 6
settle_wait_s = 5
stock_wait_s = 0
"""


@dataclass(frozen=True)
class CheatingSpec(DaemonSpec):
    """The bank's daemon, patched."""

    how: str = ""

    @property
    def command(self) -> list[str]:
        script = Path(__file__).with_name("cheating_bank.py")
        return [sys.executable, str(script), self.how, str(self.settings)]


@contextmanager
def cheating(place: Place, how: str) -> Iterator[None]:
    """The bank cheats like this, inside."""
    honest = place.specs["bank"]
    place.processes.kill("bank")
    place.processes.start(
        [CheatingSpec(honest.name, honest.group, honest.settings, honest.operations_port, how)]
    )
    try:
        yield
    finally:
        place.processes.kill("bank")
        place.processes.start([honest])


def funded(place: Place, name: str, more: str = "") -> Person:
    person = place.person(name, "g1", 8)
    person.run("withdraw", "8")
    settings = person.home / "wallet.toml"
    settings.write_text(settings.read_text() + IMPATIENT + more)
    return person


def until_settled(person: Person) -> str:
    """The member runs the command now and then, until the claim has had its answer; what it said."""
    give_up_s = time.monotonic() + ENOUGH_S
    said = ""
    while "exchange 8 -> 8: settled" not in said:
        assert time.monotonic() < give_up_s, said
        said += person.attempt("resume").stderr
    return said


def test_a_silent_bank_is_forced_on_the_board(place: Place) -> None:
    """It answers the claim, which came over the mixes; and later the coins are exchanged once more."""
    ann = funded(place, "ann-forced")
    with cheating(place, "silent"):
        # The claim may have had its answer before the command's patience ends.
        first = ann.attempt("exchange")
        assert first.returncode in {0, 3}, first.stderr
        said = first.stderr if first.returncode == 0 else first.stderr + until_settled(ann)
    assert "goes on the board as a claim" in said
    give_up_s = time.monotonic() + ENOUGH_S
    while not all(coin["exchanges"] > 1 for coin in ann.json("coins")["coins"]):
        assert time.monotonic() < give_up_s
        ann.attempt("resume")
    audit = run(
        "board", "audit", place.board_url, "--network", str(place.folder / "network.toml"),
        "--out", str(place.folder / "forced.txt"), "--jobs", "1",
    )  # fmt: skip
    assert " claim," in audit.stdout
    assert "cheated" not in audit.stdout


def test_a_lying_banks_answer_is_an_accusation(place: Place) -> None:
    """What it signed proves the lie to anyone, offline; and by hand the claim needs no patience."""
    bob = funded(place, "bob-forced", "claims = false\n")
    with cheating(place, "lies"):
        bob.run("exchange", code=3)
        kept = list((bob.home / "evidence").glob("false-refusal-*"))
        assert kept
        verdict = run("board", "check-accusation", str(kept[0]))
        assert "answer-false" in kept[0].read_text()
        assert "with a lie" in verdict.stdout
        (row,) = [
            each["operation"] for each in bob.json("history")["operations"] if each["kind"] == "exchange"
        ]
        by_hand = bob.attempt("claim", str(row)).stderr
        assert "goes on the board as a claim" in by_hand
        if "exchange 8 -> 8: settled" not in by_hand:
            until_settled(bob)
