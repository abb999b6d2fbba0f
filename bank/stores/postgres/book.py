"""
The bank's books in PostgreSQL within a transaction that writes, kept in memory until its end.

What the rules enter is seen by the rules that come after it, and written by ``write`` (writing.py) in a few
statements. Nothing here talks to the server.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from bank.board.feed import Batch
from bank.formats.account import Operation, Statement
from bank.formats.coin import coin_id
from bank.formats.order import SignedOrder
from bank.ledger.book import Account, Count, HeldOrder, LiveHold, LivePromise, SpentCoin, Value
from bank.ledger.prepare import Prepared
from bank.stores.interface import GROUP_BYTES, MOST_OUTBOX_ROW_BYTES, KeptClaim, KeptReceipt, Retirement
from bank.stores.postgres.known import MOST_BIGINT, Known, NotRead, Wants
from bank.stores.postgres.view import STATE, PostgresView
from mixmint.errors import FatalError

L = TypeVar("L", LiveHold, LivePromise)


class PostgresBook(PostgresView):
    """``bank.stores.interface.Books`` over what was read; its attributes are what will be written."""

    def __init__(self, known: Known) -> None:
        super().__init__(known)
        self.spent_now: dict[bytes, SpentCoin] = {}
        self.certified_now: dict[bytes, Value] = {}
        self.counts: dict[Value, list[int]] = {}
        self.outbox_now: list[tuple[int, int, int, bytes]] = []
        """Rows: first, next, entries, batch."""
        self.next_group: int | None = None
        """Given out so far; None while no group was numbered."""
        self.orders_now: dict[bytes, tuple[HeldOrder, int]] = {}
        """New held orders, each with its last round."""
        self.executed_now: dict[bytes, tuple[int, int, int]] = {}
        """Of held orders, by their seals: round, epoch, group."""
        self.holds_now: dict[bytes, LiveHold | None] = {}
        self.promises_now: dict[bytes, LivePromise | None] = {}
        """None: gone with the execution of its order."""
        self.let_go: list[tuple[bytes, bytes]] = []
        """Held coins and promised ids of executed orders, each with its order's seal."""
        self.held_at = MOST_BIGINT
        """The newest closed round at the first hold: what lapsed by then gives way."""
        self.accounts_now: dict[bytes, tuple[Account, int]] = {}
        """Each with the sequence on file that it follows; 0 for one that is opened."""
        self.published_now: set[bytes] = set()
        """Of those opened now the ones whose opening the board shows already."""
        self.statements_now: dict[tuple[bytes, int], tuple[Statement, int]] = {}
        self.others: list[tuple[str, tuple[object, ...], int | None]] = []
        """Writes that need no place of their own: SQL, arguments, and how many rows it must touch."""
        self._answered: dict[bytes, SpentCoin] = {}
        """Spent coins on file whose inherited order is answered now: else one batch would answer it twice."""
        self._ended: set[bytes] = set()
        self._retirement: Retirement | None = None
        self._groups: list[Sequence[bytes]] = []
        self._group_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self.next_group is None and not (
            self._groups
            or self.spent_now
            or self.certified_now
            or self.counts
            or self.orders_now
            or self.executed_now
            or self.statements_now
            or self.others
        )

    def expect(self, batch: Sequence[Prepared]) -> None:
        self._known.expect(batch)

    def value(self, coin: bytes) -> Value | None:
        now = self.certified_now.get(coin)
        if now is not None:
            return now
        values = self._known.values
        if coin not in values:
            raise NotRead(Wants(values={coin}))
        return values[coin]

    def retired(self) -> int:
        # Asked for each order.
        if self._retirement is None:
            self._retirement = super().retirement()
        return self._retirement.retired

    def swept(self) -> int:
        return self.retirement().swept

    def retirement(self) -> Retirement:
        return self._retirement or super().retirement()

    def has_ended(self, coin: bytes) -> bool:
        return self.value(coin) is not None and (coin in self._known.ended or coin in self._ended)

    def end(self, coin: bytes) -> bool:
        if self.value(coin) is None or self.has_ended(coin):
            return False
        self._ended.add(coin)
        self._later("UPDATE certified SET ended = 1 WHERE coin = $1 AND ended = 0", coin, must=1)
        return True

    def unstated(self) -> int:
        rows = self.rows("SELECT exponent, epoch FROM tally WHERE changed <> 0")
        return len(self.counts.keys() | {Value._make(row) for row in rows})

    def spend(self, key: bytes, coin: bytes, spent: SpentCoin, closed: int) -> bool:
        if self.spent(key) is not None:
            return False
        live = self.hold_on(coin, closed)
        if live is not None and live.seal != spent.seal:
            return False
        self.spent_now[key] = spent
        return True

    def answer_inherited(self, key: bytes, round_: int) -> None:
        now = self.spent_now.get(key)
        if now is not None:
            self.spent_now[key] = now._replace(round=round_, epoch=-1)
            return
        before = self.spent(key)
        if before is not None:
            self._answered[key] = before._replace(round=round_, epoch=-1)
        self._later("UPDATE spent SET round = $1, epoch = -1 WHERE key = $2", round_, key, must=1)

    def spent(self, key: bytes) -> SpentCoin | None:
        now = self.spent_now.get(key) or self._answered.get(key)
        if now is not None:
            return now
        spent = self._known.spent
        if key not in spent:
            raise NotRead(Wants(spent={key}))
        return spent[key]

    def certify(self, coin: bytes, value: Value, seal: bytes, closed: int) -> bool:
        if self.value(coin) is not None:
            return False
        promise = self.promise_of(coin, closed)
        if promise is not None and promise.seal != seal:
            return False
        self.certified_now[coin] = value
        return True

    def count(self, what: Count, values: Sequence[Value]) -> None:
        counts = self.counts
        for value in values:
            row = counts.get(value)
            if row is None:
                row = counts[value] = [0] * len(Count)
            row[what] += 1

    def take_back(self, keys: Sequence[bytes], coins: Sequence[bytes]) -> None:
        for key in keys:
            self.spent_now.pop(key, None)
        for coin in coins:
            self.certified_now.pop(coin, None)

    def hold_on(self, coin: bytes, closed: int) -> LiveHold | None:
        if coin in self.holds_now:
            held = self.holds_now[coin]
        else:
            holds = self._known.holds
            if coin not in holds:
                raise NotRead(Wants(holds={coin}))
            held = holds[coin]
        return held if held is not None and held.to_round > closed else None

    def live_holds(self, closed: int, most: int) -> int:
        ((count,),) = self.rows(
            "SELECT count(*) FROM (SELECT 1 FROM held_coin WHERE to_round > $1 LIMIT $2) AS live",
            *(closed, most),
        )
        # A coin that was held before and is held anew counts twice, for the length of one transaction.
        return int(count) + sum(hold is not None for hold in self.holds_now.values())

    def promise_of(self, coin: bytes, closed: int) -> LivePromise | None:
        if coin in self.promises_now:
            promise = self.promises_now[coin]
        else:
            promises = self._known.promises
            if coin not in promises:
                raise NotRead(Wants(promises={coin}))
            promise = promises[coin]
        return promise if promise is not None and promise.to_round > closed else None

    def held(self, seal: bytes) -> HeldOrder | None:
        if seal in self.orders_now:
            held: HeldOrder | None = self.orders_now[seal][0]
        else:
            orders = self._known.orders
            if seal not in orders:
                raise NotRead(Wants(orders={seal}))
            held = orders[seal]
        executed = self.executed_now.get(seal)
        if held is None or executed is None:
            return held
        return HeldOrder(held.from_round, held.to_round, held.order, executed[:2], held.key, held.signature)

    def hold(self, order: SignedOrder, coins: Sequence[bytes], from_round: int, to_round: int) -> None:
        seal, closed = order.seal, from_round - 1
        outputs = [output.coin for output in order.order.outputs]
        if (
            self.held(seal) is not None
            or any(self.hold_on(coin, closed) for coin in coins)
            or any(self.promise_of(coin, closed) for coin in outputs)
        ):
            raise FatalError("the bank's books contradict themselves; restore or recover the store")
        first = order.order.inputs[0], order.signatures[0]
        held = HeldOrder(from_round, to_round, order, None, *first)
        self.orders_now[seal] = held, order.order.last_round
        self.held_at = min(self.held_at, closed)
        for coin, signature in zip(coins, order.signatures, strict=True):
            self.holds_now[coin] = LiveHold(seal, signature, to_round)
        for coin in outputs:
            self.promises_now[coin] = LivePromise(seal, to_round)

    def execute_held(self, order: SignedOrder, coins: Sequence[bytes], round_: int, epoch: int) -> None:
        seal, group = order.seal, self._following() + len(self._groups) - 1
        self.executed_now[seal] = round_, epoch, group
        # Spent and certified rows stand for them now.
        for coin in coins:
            self._let_go(coin, seal, self.holds_now, self._known.holds)
        for output in order.order.outputs:
            self._let_go(output.coin, seal, self.promises_now, self._known.promises)

    def publish(self, entries: Sequence[bytes]) -> None:
        self._groups.append(entries)
        self._group_bytes += GROUP_BYTES + sum(map(len, entries))
        if self._group_bytes > MOST_OUTBOX_ROW_BYTES:
            self.flush()

    def publish_later(self) -> None:
        self._later("UPDATE state SET unnumbered = 1")

    def statement(self, account: bytes, sequence: int) -> tuple[Statement, int] | None:
        # Sequences are 64 bits wide on the wire; PostgreSQL's numbers are signed.
        if sequence > MOST_BIGINT:
            return None
        now = self.statements_now.get((account, sequence))
        if now is not None:
            return now
        statements = self._known.statements
        if (account, sequence) not in statements:
            raise NotRead(Wants(statements={(account, sequence)}))
        return statements[account, sequence]

    def statements(self, account: bytes, sequence: int, most: int) -> list[Statement]:
        now = [
            statement
            for (owner, number), (statement, _) in self.statements_now.items()
            if owner == account and number >= sequence
        ]
        # Those made now follow those on file, and each other.
        return [*super().statements(account, sequence, most), *now][:most]

    def account(self, key: bytes) -> Account | None:
        now = self.accounts_now.get(key)
        return super().account(key) if now is None else now[0]

    def accept(self, account: bytes, request: bytes) -> None:
        self._later(
            "INSERT INTO accepted VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET request = $2",
            account,
            request,
        )

    def add_statement(self, statement: Statement, epoch: int) -> bool:
        key, sequence = statement.account, statement.sequence
        account = self.account(key)
        if statement.operation is Operation.OPENED:
            if account is not None:
                return False
            follows = 0
        elif account is None or account.sequence != sequence - 1:
            raise FatalError("the bank's books contradict themselves; restore or recover the store")
        else:
            follows = self.accounts_now[key][1] if key in self.accounts_now else account.sequence
        self.accounts_now[key] = Account(sequence, statement.balance, statement.head()), follows
        self.statements_now[key, sequence] = statement, epoch
        return True

    def take_over(self, recovered: Statement, listed: Statement | None, epoch: int) -> bool:
        key = recovered.account
        if self.account(key) is not None:
            return False
        self.accounts_now[key] = Account(recovered.sequence, recovered.balance, recovered.head()), 0
        for statement in filter(None, (listed, recovered)):
            self.statements_now[key, statement.sequence] = statement, epoch
        self.published_now.add(key)
        return True

    def mark_published(self, account: bytes) -> None:
        self._later("UPDATE account SET published = 1 WHERE key = $1", account, must=1)

    def mark_numbered(self) -> None:
        self._later("UPDATE state SET unnumbered = 0")

    def put_terms(self, terms: bytes) -> None:
        self._later("UPDATE state SET terms = $1", terms)

    def note_due(self, due: int, since: int) -> None:
        self._retirement = replace(self.retirement(), due=due, since=since)
        self._later("UPDATE state SET due = $1, due_since = $2", due, since)

    def retire(self, before: int) -> None:
        self._retirement = Retirement(before, 0, 0, self.retirement().swept)
        self._later(
            "UPDATE state SET retired = $1, due = 0, due_since = 0, sweep_key = ''"
            " WHERE retired < $1 AND swept = retired",
            before,
            must=1,
        )

    def sweep(self, most: int) -> bool:
        ((*_, after),) = self.rows(STATE)
        # In the order of the keys, not through an index: nobody but the sweep asks for a coin's epoch.
        page = self.rows("SELECT key, seal FROM spent WHERE key > $1 ORDER BY key LIMIT $2", after, most)
        coins = {coin_id(key): (key, seal) for key, seal in page}
        over = [
            coin
            for (coin,) in self.rows(
                "SELECT coin FROM certified WHERE coin = ANY ($1) AND epoch < $2",
                *(tuple(coins), self.retired()),
            )
        ]
        if over:
            keys, seals = zip(*(coins[coin] for coin in over), strict=True)
            self._later("UPDATE certified SET ended = 1 WHERE coin = ANY ($1)", over, must=len(over))
            self._later("DELETE FROM spent WHERE key = ANY ($1)", keys, must=len(over))
            self._later("DELETE FROM held_order WHERE seal = ANY ($1) AND group_number IS NOT NULL", seals)
        if len(page) == most:
            self._later("UPDATE state SET sweep_key = $1", page[-1][0])
            return False
        self._later("UPDATE state SET swept = retired, sweep_key = ''")
        self._retirement = replace(self.retirement(), swept=self.retired())
        return True

    def note_claim_rounds(self, rounds: int) -> None:
        self._later("UPDATE state SET claim_rounds = $1", rounds)

    def note_claim(self, kept: KeptClaim, due: int) -> None:
        self._later(
            "INSERT INTO claim (subject, round, due, body, closed_at_s) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT DO NOTHING",
            *(kept.subject, kept.round, due, kept.claim, kept.closed_at_s),
        )

    def answer_claim(self, subject: bytes) -> None:
        group = self._following() + len(self._groups) - 1
        self._later("UPDATE claim SET group_number = $1 WHERE subject = $2", group, subject, must=1)

    def keep_receipt(self, kept: KeptReceipt) -> None:
        receipt = kept.receipt
        self._later(
            "INSERT INTO receipt (next_group, first, groups, digest, round, newest_closed, signature)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            *(receipt.next_group, kept.first, kept.groups, kept.digest),
            *(receipt.round, receipt.newest_closed, receipt.signature),
            must=1,
        )

    def forget_receipts(self, group: int) -> int:
        ((number,),) = self.rows("SELECT count(*) FROM receipt WHERE next_group > $1", group)
        if number:
            self._later("DELETE FROM receipt WHERE next_group > $1", group, must=number)
        return int(number)

    def close_rounds(self, closed: int, lapsed: int) -> None:
        self._later("UPDATE state SET newest_closed = $1", closed)
        self._later("DELETE FROM held_coin WHERE to_round <= $1", closed)
        self._later("DELETE FROM promised WHERE to_round <= $1", closed)
        self._later("DELETE FROM held_order WHERE group_number IS NULL AND last_round <= $1", lapsed)

    def confirm(self, group: int, cursor: bytes, *, news: bool) -> None:
        self._later(
            "UPDATE state SET confirmed_group = $1, cursor = $2, unstated = greatest(unstated, $3::smallint)",
            *(group, cursor, int(news)),
        )
        self._later("DELETE FROM outbox WHERE next <= $1", group)
        # The newest of the receipts for what was read stays: it says from which round on the next may stand.
        self._later(
            "DELETE FROM receipt"
            " WHERE next_group < (SELECT max(next_group) FROM receipt WHERE next_group <= $1)",
            group,
        )
        self._later("DELETE FROM claim WHERE group_number < $1", group)
        self._later(
            "UPDATE held_order SET signed = NULL WHERE signed IS NOT NULL AND group_number < $1", group
        )

    def begin_period(self, closed: int) -> None:
        self._later("UPDATE state SET stated_at = $1", closed)

    def mark_stated(self, sequence: int, closed: int) -> None:
        self._later("UPDATE state SET stated = $1, stated_at = $2, unstated = 0", sequence, closed)
        self._later("UPDATE tally SET changed = 0 WHERE changed <> 0")

    def flush(self) -> None:
        """Make a row of the outbox of the groups gathered since the last one."""
        if self._groups:
            batch = Batch(self._following(), self._groups)
            entries = sum(map(len, self._groups))
            self.outbox_now.append((batch.first, batch.next, entries, batch.encode()))
            self.next_group = batch.next
            self._groups, self._group_bytes = [], 0

    def _following(self) -> int:
        """The number of the first group that is in no row yet."""
        return self.state().next_group if self.next_group is None else self.next_group

    def _later(self, sql: str, *arguments: object, must: int | None = None) -> None:
        self.others.append((sql, arguments, must))

    def _let_go(
        self, coin: bytes, seal: bytes, now: dict[bytes, L | None], before: dict[bytes, L | None]
    ) -> None:
        live = now[coin] if coin in now else before.get(coin)
        if live is not None and live.seal == seal:
            now[coin] = None
            self.let_go.append((coin, seal))
