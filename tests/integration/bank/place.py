"""A bank and a board as real processes, and a customer who speaks HTTP; the cascade runs when asked for."""

import json
import os
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bank.formats.account import AccountRequest, Operation, Statement, sign_request
from bank.formats.answer import NO_SUCH_HOLD, Answer, Statements
from bank.formats.coin import CoinKey, bank_id
from bank.formats.order import NOTHING, Order, Output, SignedOrder, sign_order
from bank.formats.request import BankRequest, Deposit, Withdraw, encode_request, sign_read, subject_of
from mixmint.keys import SigningKey
from tests.integration.network.harness import Daemon, Network, make_network, mixmint
from tests.ports import free_ports

HOST = "127.0.0.1"
PATHS = {1: "order", 2: "order", 3: "withdraw", 4: "deposit", 5: "statements"}


@dataclass
class Place:
    """The folder, its daemons, and the addresses of bank and board."""

    network: Network
    bank_url: str
    board_url: str
    accounts: list[SigningKey] = field(default_factory=list)

    @property
    def bank(self) -> Daemon:
        return self.network.daemons["bank"]

    @property
    def board(self) -> Daemon:
        return self.network.daemons["board"]

    @property
    def key(self) -> bytes:
        return self.network.directory().service("bank").identity

    def copied(self, folder: Path) -> "Place":
        """The same keys and ports in another folder; nothing in a network's folder says where it is."""
        return Place(self.network.copied(folder), self.bank_url, self.board_url)

    async def start(self) -> None:
        """Board and bank only."""
        await self.network.start("board", "bank")

    def post(self, data: bytes, path: str | None = None) -> tuple[int, bytes]:
        """Status and body."""
        url = f"{self.bank_url}/api/v1/{path or PATHS[data[0]]}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/octet-stream"})
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def post_patiently(self, data: bytes) -> bytes:
        """As a wallet does: the same bytes until they are answered."""
        give_up = time.monotonic() + 90
        while True:
            try:
                status, body = self.post(data)
                if status == 200:
                    return body
            except OSError:
                pass
            assert time.monotonic() < give_up
            time.sleep(0.02)

    def ask(self, request: BankRequest) -> Answer:
        answer = Answer.decode(self.post_patiently(encode_request(request)))
        assert answer.holds(self.key, bank_id(self.key))
        assert answer.subject == subject_of(request, unknown=answer.body == NO_SUCH_HOLD)
        return answer

    def get(self, url: str) -> dict[str, object]:
        with urllib.request.urlopen(url, timeout=10) as reply:
            found: dict[str, object] = json.load(reply)
            return found

    def totals(self) -> dict[str, int]:
        """The board's."""
        totals = self.get(f"{self.board_url}/api/v1/totals")["totals"]
        assert isinstance(totals, dict)
        return totals

    def account(self, units: int) -> SigningKey:
        """Opened and credited by the operator's commands, while the bank runs."""
        key = SigningKey.generate()
        config = ("--config", self.bank.config)
        mixmint("bank", "account", "open", *config, key.public.hex())
        mixmint("bank", "account", "credit", *config, key.public.hex(), units)
        return key

    def newest(self, account: SigningKey) -> Statement:
        sequence = 1
        while True:
            body = self.ask(sign_read(account, bank_id(self.key), sequence)).body
            assert isinstance(body, Statements)
            if len(body.statements) < 6:
                return body.statements[-1].statement
            sequence += 5

    def withdraw(self, account: SigningKey, outputs: Sequence[Output]) -> Withdraw:
        return Withdraw(sign_request(account, self._request(account, Operation.WITHDRAW, NOTHING, outputs)))

    def deposit(self, account: SigningKey, keys: Sequence[SigningKey]) -> Deposit:
        order = self.order(keys, (), account.public)
        return Deposit(
            sign_request(account, self._request(account, Operation.DEPOSIT, order.seal, ())), order
        )

    def _request(
        self, account: SigningKey, operation: Operation, seal: bytes, outputs: Sequence[Output]
    ) -> AccountRequest:
        newest = self.newest(account)
        return AccountRequest(
            bank_id(self.key),
            account.public,
            newest.sequence + 1,
            newest.head(),
            operation,
            os.urandom(16),
            2**32 - 1,
            seal,
            tuple(sorted(outputs, key=lambda output: output.coin)),
        )

    def order(
        self,
        keys: Sequence[SigningKey],
        outputs: Sequence[Output],
        account: bytes = NOTHING,
        tau: bytes = NOTHING,
    ) -> SignedOrder:
        order = Order(
            bank_id(self.key),
            os.urandom(16),
            2**32 - 1,
            tuple(sorted(CoinKey(key.public) for key in keys)),
            tuple(sorted(outputs, key=lambda output: output.coin)),
            account,
            tau,
        )
        return sign_order(order, list(keys))

    def books(self, sql: str) -> list[tuple[int, ...]]:
        """Read the bank's database, of a stopped bank or beside a running one."""
        connection = sqlite3.connect(f"file:{self.bank.config.parent / 'bank.db'}?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()


def make_place(folder: Path) -> Place:
    """Made by the operators' commands; nothing runs yet."""
    bank_port, bank_operations, board_port, board_operations = free_ports(4)
    where = ("--host", HOST)
    mixmint(
        *("board", "init", folder / "board", "--gateway", "g2", *where, "--port", board_port),
        *("--operations-port", board_operations, "--round-ms", 100),
    )
    mixmint(
        *("bank", "init", folder / "bank", "--gateway", "g1", *where, "--port", bank_port),
        *("--operations-port", bank_operations),
    )
    descriptors = [folder / name / "descriptor" for name in ("bank", "board")]
    network = make_network(folder, extra=descriptors)
    for name, operations in (("board", board_operations), ("bank", bank_operations)):
        network.daemons[name] = Daemon(name, name, folder / name / f"{name}.toml", operations, 0)
    return Place(network, f"http://{HOST}:{bank_port}", f"http://{HOST}:{board_port}")
