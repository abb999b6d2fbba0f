"""
The story that ``mixmint demo`` plays: two people withdraw, pay, cheat, deposit and write to each other.

Every step is done by the real commands through the real network. Each ends with checks; one that doesn't hold
ends the story and says which.
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixmint.demo.network import WITNESS
from mixmint.errors import MixmintError

COMMAND_WITHIN_S = 90
CREDIT = 40
WITHDRAWN = 25
INVOICE = 13
BEARER = 5
DEPOSIT = 8
QUESTION = "Meet me at the mill. Tell nobody."
REPLY = "At nine. I don't know who you are, and you don't know where I am."


class StoryFailedError(MixmintError):
    """A check that should hold doesn't."""


Line = str
Step = Callable[[], Iterator[Line]]


@dataclass
class Story:
    """
    The network's folder, and where its board is. Commands run inside the folder, so their paths are short.

    ``said`` keeps what the two wrote and handed over, for a test that looks whether it leaked anywhere.
    """

    folder: Path
    board_url: str
    show: Callable[[str], None]
    said: list[str] = field(default_factory=list)

    def steps(self) -> list[tuple[str, Step]]:
        """Title and action of each step, in order. An action yields what a reader should see."""
        return [
            (
                f"Anna and Ben make wallets; the bank's operator credits each {CREDIT} units",
                self.open_wallets,
            ),
            (f"Anna withdraws {WITHDRAWN} units as coins", self.withdraw),
            (f"Ben asks for {INVOICE} units; Anna pays his own coin ids, with change", self.pay_invoice),
            (f"Anna hands over {BEARER} units as a file; Ben exchanges them at once", self.hand_over),
            ("The same file is received again: the bank refuses, with a proof", self.spend_twice),
            (f"Ben exchanges his coins for fresh ones, and deposits {DEPOSIT} units", self.deposit),
            ("Purses, the bank's ledger and the public board add up", self.add_up),
            ("Anyone audits the board, from its first entry to its newest", self.audit),
            ("Anna writes to Ben; he answers through the reply block that came along", self.write),
        ]

    def open_wallets(self) -> Iterator[Line]:
        for name, gateway in (("anna", "g1"), ("ben", "g2")):
            made = self._json(
                "wallet", "init", *_home(name), "--network", "network.toml", "--gateway", gateway
            )
            account = made["account"]
            self.run("bank", "account", "open", "--config", "bank/bank.toml", account)
            self.run("bank", "account", "credit", "--config", "bank/bank.toml", account, str(CREDIT))
            yield f"{name}: gateway {gateway}, account {account[:16]}..., {CREDIT} units in it"

    def withdraw(self) -> Iterator[Line]:
        self.run("wallet", "withdraw", str(WITHDRAWN), *_home("anna"))
        coins = self._json("wallet", "coins", *_home("anna"))["coins"]
        self._check(
            sum(coin["units"] for coin in coins) == WITHDRAWN, "the coins sum up to what was withdrawn"
        )
        yield "coins of " + ", ".join(str(coin["units"]) for coin in coins) + " units"

    def pay_invoice(self) -> Iterator[Line]:
        self.run("wallet", "request", str(INVOICE), *_home("ben"), "--out", "request.txt")
        self.said.append((self.folder / "request.txt").read_text().strip())
        paid = self._json("wallet", "pay", "--file", "request.txt", "--now", *_home("anna"))
        yield f"Anna paid {INVOICE}, settled in round {paid['round']} of the board"
        self.run("wallet", "resume", *_home("ben"))
        self._check(self._free("ben") == INVOICE, "Ben has what he asked for")
        self._check(self._free("anna") == WITHDRAWN - INVOICE, "Anna has the change")
        yield f"Ben read the board and found his {INVOICE}; he asked nobody about it"

    def hand_over(self) -> Iterator[Line]:
        self.run("wallet", "pay", "--bearer", str(BEARER), "--now", "--out", "five.txt", *_home("anna"))
        handed = self.folder / "five.txt"
        self.said.append(handed.read_text().strip())
        yield f"five.txt is money: whoever has the file has {BEARER} units"
        self.run("wallet", "receive", "five.txt", *_home("ben"))
        self._check(self._free("ben") == INVOICE + BEARER, "Ben has the units that were handed over")
        yield f"Ben now has {INVOICE + BEARER}"

    def spend_twice(self) -> Iterator[Line]:
        refusal = self.run("wallet", "receive", "five.txt", "--json", *_home("ben"), exit_code=1)
        (self.folder / "refusal.json").write_text(refusal)
        proofs = json.loads(refusal)["proofs"]
        self._check(bool(proofs), "the refusal carries a proof")
        self.run("wallet", "verify-proof", "refusal.json")
        yield "each proof holds: the coin's own key signed the earlier order's seal"
        for proof in proofs:
            public = self._board(f"/api/v1/coins/{proof['coin']}")
            self._check(
                proof["seal"] in json.dumps(public), "the board shows the same seal for the spent coin"
            )
        self._check(self._free("ben") == INVOICE + BEARER, "nobody gained by it")
        yield "the board shows the same seal: " + ", ".join(proof["seal"][:16] + "..." for proof in proofs)

    def deposit(self) -> Iterator[Line]:
        self.run("wallet", "exchange", *_home("ben"))
        yield "the payer would have recognised the old coins; nobody recognises the new ones"
        self.run("wallet", "deposit", str(DEPOSIT), *_home("ben"))
        balance = self._json("wallet", "balance", *_home("ben"))["account"]["balance"]
        self._check(balance == CREDIT + DEPOSIT, "Ben's account has what he deposited")
        yield f"Ben's account: {balance} units"

    def add_up(self) -> Iterator[Line]:
        purses = {name: self._free(name) for name in ("anna", "ben")}
        ledger = json.loads(self.run("bank", "account", "list", "--json", "--config", "bank/bank.toml"))[
            "total"
        ]
        totals = self._board("/api/v1/totals")["totals"]
        outstanding = totals["certified_units"] - totals["spent_units"]
        self._check(purses["anna"] == WITHDRAWN - INVOICE - BEARER, "Anna's purse is right")
        self._check(purses["ben"] == INVOICE + BEARER - DEPOSIT, "Ben's purse is right")
        self._check(sum(purses.values()) == outstanding, "the purses hold what the board shows outstanding")
        self._check(ledger + outstanding == 2 * CREDIT, "ledger and coins make up what was paid in")
        yield f"purses {purses['anna']} + {purses['ben']} = {outstanding} outstanding on the board"
        yield f"ledger {ledger} + outstanding {outstanding} = {2 * CREDIT} paid in"
        checkpoint = self._read("/checkpoint").decode()
        self._check(f"\n\N{EM DASH} {WITNESS} " in checkpoint, "the witness cosigned the newest round")
        yield f"the board's newest checkpoint, {checkpoint.splitlines()[1]} entries, is cosigned by {WITNESS}"

    def audit(self) -> Iterator[Line]:
        told = self._json("board", "audit", self.board_url, "--network", "network.toml", "--policy", "policy")
        self._check(told["passed"], "the auditor finds nothing wrong")
        yield f"{told['size']} entries: hashes, signatures, the witness, no coin twice, value in = value out"

    def write(self) -> Iterator[Line]:
        self.said += [QUESTION, REPLY]
        (self.folder / "ben.address").write_text(self.run("address", *_home("ben")))
        self.run("send", "ben.address", *_home("anna"), stdin=QUESTION)
        message = self._await_message("ben")
        self._check(message["text"].strip() == QUESTION, "Ben got what Anna wrote")
        yield f"Ben got: {message['text'].strip()}"
        self.run("reply", str(message["number"]), *_home("ben"), stdin=REPLY)
        message = self._await_message("anna")
        self._check(message["text"].strip() == REPLY, "Anna got what Ben answered")
        yield f"Anna got: {message['text'].strip()}"
        yield "Anna spoke to gateway g1 only, Ben to g2 only; neither saw the other's network address"

    def run(self, *words: str, stdin: str = "", exit_code: int = 0) -> str:
        """Run one ``mixmint`` command in the folder; its standard output."""
        self.show("mixmint " + " ".join(words))
        done = subprocess.run(
            [sys.executable, "-m", "mixmint", *words],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN_S,
            check=False,
        )
        if done.returncode != exit_code:
            why = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise StoryFailedError(f"mixmint {' '.join(words)} ended with {done.returncode}: {why[0]}")
        return done.stdout

    def _json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def _free(self, name: str) -> int:
        return int(self._json("wallet", "balance", *_home(name))["free"])

    def _await_message(self, name: str) -> Any:
        messages = self._json("inbox", "--wait", "30", *_home(name))["messages"]
        self._check(len(messages) == 1, f"exactly one message came to {name}")
        return messages[0]

    def _board(self, path: str) -> Any:
        return json.loads(self._read(path))

    def _read(self, path: str) -> bytes:
        with urllib.request.urlopen(self.board_url + path, timeout=10) as reply:  # noqa: S310 - our own http
            return bytes(reply.read())

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise StoryFailedError(f"this check failed: {what}")


def _home(name: str) -> tuple[str, str]:
    return "--home", name
