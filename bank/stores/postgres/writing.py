"""
Writing what a transaction gathered: a few statements, however many requests it served.

Plain inserts: if another has a primary key already, the transaction fails and its requests are judged anew,
on what is on file by then.
"""

from collections.abc import Collection
from typing import Any

import asyncpg

from bank.stores.postgres.book import PostgresBook
from mixmint.errors import FatalError

_COINS = """
    WITH spending AS (
        INSERT INTO spent SELECT * FROM unnest(
            $1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[]
        )
    ), certifying AS (
        INSERT INTO certified SELECT *, 0 FROM unnest($6::bytea[], $7::smallint[], $8::bigint[])
    ), publishing AS (
        INSERT INTO outbox SELECT * FROM unnest($9::bigint[], $10::bigint[], $11::bigint[], $12::bytea[])
    ), counting AS (
        INSERT INTO tally
        SELECT *, 1 FROM unnest(
            $13::smallint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[],
            $19::bigint[]
        )
        ON CONFLICT (exponent, epoch) DO UPDATE SET
            withdrawn = tally.withdrawn + excluded.withdrawn,
            exchanged = tally.exchanged + excluded.exchanged,
            spent = tally.spent + excluded.spent, deposited = tally.deposited + excluded.deposited,
            replaced = tally.replaced + excluded.replaced, changed = 1
    ), numbering AS (
        UPDATE state SET next_group = $20 WHERE next_group <> $20
    )
    UPDATE newest_commit SET name = $21 WHERE $21::bytea IS NOT NULL
"""
_ORDERS = """
    INSERT INTO held_order (seal, signed, from_round, to_round, keep_round, key, signature)
    SELECT * FROM unnest(
        $1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bytea[]
    )
"""
# A lapsed row gives way, a live one doesn't: two holds on one coin can't overlap, whatever was read before.
_HOLDS = """
    INSERT INTO held_coin SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[])
    ON CONFLICT (coin) DO UPDATE
    SET seal = excluded.seal, signature = excluded.signature, to_round = excluded.to_round
    WHERE held_coin.to_round <= $5
"""
_PROMISES = """
    INSERT INTO promised SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[])
    ON CONFLICT (coin) DO UPDATE SET seal = excluded.seal, to_round = excluded.to_round
    WHERE promised.to_round <= $4
"""
_EXECUTED = """
    UPDATE held_order SET round = now.round, epoch = now.epoch, group_number = now.number
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) AS now (seal, round, epoch, number)
    WHERE held_order.seal = now.seal
"""
_LET_GO = (
    """
    DELETE FROM held_coin USING unnest($1::bytea[], $2::bytea[]) AS gone (coin, seal)
    WHERE held_coin.coin = gone.coin AND held_coin.seal = gone.seal
    """,
    """
    DELETE FROM promised USING unnest($1::bytea[], $2::bytea[]) AS gone (coin, seal)
    WHERE promised.coin = gone.coin AND promised.seal = gone.seal
    """,
)
_OPENED = """
    INSERT INTO account
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[], $5::smallint[])
"""
_ACCOUNTS = """
    UPDATE account SET sequence = now.sequence, balance = now.balance, head = now.head
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[])
        AS now (key, sequence, balance, head, follows)
    WHERE account.key = now.key AND account.sequence = now.follows
"""
_STATEMENTS = (
    "INSERT INTO statement SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bigint[])"
)


async def write(connection: asyncpg.Connection, book: PostgresBook, name: bytes | None) -> None:
    """
    Write all of it into the open transaction; ``name`` (16 bytes), if any, tells it from others later.

    Raises FatalError when a write that must touch a row touches none, and what asyncpg raises.
    """
    for sql, arguments, must in book.others:
        await _execute(connection, sql, arguments, must)
    await _write_accounts(connection, book)
    await _write_orders(connection, book)
    book.flush()
    next_group = book.state().next_group if book.next_group is None else book.next_group
    # By their keys: a table keeps its rows as they came, so side by side two tables would say for ever which
    # input went with which output. It is also how keys lie in the index.
    spent, certified, counts = sorted(book.spent_now.items()), sorted(book.certified_now.items()), book.counts
    await connection.execute(
        _COINS,
        *_columns([(key, *how) for key, how in spent], 5),
        *_columns([(coin, *value) for coin, value in certified], 3),
        *_columns(book.outbox_now, 4),
        *_columns([(*value, *row) for value, row in counts.items()], 7),
        next_group,
        name,
    )


async def _write_accounts(connection: asyncpg.Connection, book: PostgresBook) -> None:
    if not book.statements_now:
        return
    rows = [(key, *account, follows) for key, (account, follows) in book.accounts_now.items()]
    opened = [(*row[:4], int(row[0] in book.published_now)) for row in rows if row[4] == 0]
    changed = [row for row in rows if row[4] > 0]
    if opened:
        await connection.execute(_OPENED, *_columns(opened, 5))
    if changed:
        await _execute(connection, _ACCOUNTS, _columns(changed, 5), len(changed))
    statements = [
        (account, sequence, statement.encode(), epoch)
        for (account, sequence), (statement, epoch) in book.statements_now.items()
    ]
    await connection.execute(_STATEMENTS, *_columns(statements, 4))


async def _write_orders(connection: asyncpg.Connection, book: PostgresBook) -> None:
    if book.orders_now:
        orders = [
            (
                seal,
                held.order and held.order.encode(),
                held.from_round,
                held.to_round,
                keep,
                held.key,
                held.signature,
            )
            for seal, (held, keep) in book.orders_now.items()
        ]
        await connection.execute(_ORDERS, *_columns(orders, 7))
        holds = [(coin, *held) for coin, held in book.holds_now.items() if held is not None]
        await _execute(connection, _HOLDS, (*_columns(holds, 4), book.held_at), len(holds))
        promises = [(coin, *promise) for coin, promise in book.promises_now.items() if promise is not None]
        await _execute(connection, _PROMISES, (*_columns(promises, 3), book.held_at), len(promises))
    if book.executed_now:
        executed = [(seal, *at) for seal, at in book.executed_now.items()]
        await _execute(connection, _EXECUTED, _columns(executed, 4), len(executed))
        for sql in _LET_GO:
            await connection.execute(sql, *_columns(book.let_go, 2))


async def _execute(
    connection: asyncpg.Connection, sql: str, arguments: Collection[object], must: int | None
) -> None:
    status = await connection.execute(sql, *arguments)
    if must is not None and int(status.rpartition(" ")[2]) != must:
        raise FatalError("the bank's books contradict themselves; restore or recover the store")


def _columns(rows: Collection[Any], width: int) -> list[list[Any]]:
    """Rows as arrays, one for each column."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
