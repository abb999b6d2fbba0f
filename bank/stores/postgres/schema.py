"""
The bank's tables in PostgreSQL: those of SQLite, column by column, so that books can move.

They live in a schema of their own, ``mixmint_bank``, in a database of the bank's own.

Trusted as the file of SQLite is: who can write here can make money, but not unnoticed. Who can read it, its
write-ahead log, its replicas or its backups finds what ties an order's inputs to its outputs for as long as
those keep it: PostgreSQL doesn't overwrite what is deleted (docs/operators-guide.md, "The store").
"""

SCHEMA_NAME = "mixmint_bank"

SCHEMA = (
    """
    CREATE TABLE certified (
        coin bytea PRIMARY KEY, exponent smallint NOT NULL, epoch bigint NOT NULL,
        ended smallint NOT NULL DEFAULT 0
    );
    CREATE TABLE spent (
        key bytea PRIMARY KEY, seal bytea NOT NULL, signature bytea NOT NULL,
        round bigint NOT NULL, epoch bigint NOT NULL
    );

    CREATE TABLE held_coin (
        coin bytea PRIMARY KEY, seal bytea NOT NULL, signature bytea NOT NULL, to_round bigint NOT NULL
    );
    CREATE INDEX held_coin_end ON held_coin (to_round);
    CREATE TABLE promised (coin bytea PRIMARY KEY, seal bytea NOT NULL, to_round bigint NOT NULL);
    CREATE INDEX promised_end ON promised (to_round);
    CREATE TABLE held_order (
        seal bytea PRIMARY KEY, signed bytea, from_round bigint NOT NULL, to_round bigint NOT NULL,
        last_round bigint NOT NULL, key bytea NOT NULL, signature bytea NOT NULL,
        round bigint, epoch bigint, group_number bigint
    );
    CREATE INDEX held_order_end ON held_order (last_round) WHERE group_number IS NULL;
    CREATE INDEX held_order_group ON held_order (group_number) WHERE signed IS NOT NULL;

    -- Room in each page, so that a new version of a row lies beside the old one and touches no index.
    CREATE TABLE account (
        key bytea PRIMARY KEY, sequence bigint NOT NULL, balance bigint NOT NULL CHECK (balance >= 0),
        head bytea NOT NULL, published smallint NOT NULL
    ) WITH (fillfactor = 70);
    CREATE INDEX account_unpublished ON account (key) WHERE published = 0;
    CREATE TABLE statement (
        account bytea NOT NULL REFERENCES account (key), sequence bigint NOT NULL, body bytea NOT NULL,
        epoch bigint NOT NULL, PRIMARY KEY (account, sequence)
    );
    CREATE TABLE accepted (account bytea PRIMARY KEY, request bytea NOT NULL);

    CREATE TABLE tally (
        exponent smallint NOT NULL, epoch bigint NOT NULL, withdrawn bigint NOT NULL,
        exchanged bigint NOT NULL, spent bigint NOT NULL, deposited bigint NOT NULL,
        replaced bigint NOT NULL, changed smallint NOT NULL, PRIMARY KEY (exponent, epoch)
    ) WITH (fillfactor = 40);
    CREATE TABLE outbox (
        first bigint PRIMARY KEY, next bigint NOT NULL, entries bigint NOT NULL, batch bytea NOT NULL
    ) WITH (
        -- Rows live for seconds: vacuumed by their number, not by a share of a table that is empty at rest.
        autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 5000
    );
    -- Keys and signatures can't be compressed; trying would cost a commit's time.
    ALTER TABLE outbox ALTER COLUMN batch SET STORAGE EXTERNAL;
    ALTER TABLE held_order ALTER COLUMN signed SET STORAGE EXTERNAL;
    CREATE TABLE receipt (
        next_group bigint PRIMARY KEY, first bigint NOT NULL, groups bigint NOT NULL, digest bytea NOT NULL,
        round bigint NOT NULL, newest_closed bigint NOT NULL, signature bytea NOT NULL
    );
    CREATE TABLE claim (
        subject bytea PRIMARY KEY, round bigint NOT NULL, due bigint NOT NULL, body bytea NOT NULL,
        group_number bigint
    );
    CREATE INDEX claim_due ON claim (due);
    CREATE INDEX claim_open ON claim (due, round) WHERE group_number IS NULL;
    CREATE INDEX claim_group ON claim (group_number) WHERE group_number IS NOT NULL;
    -- Its one row is also the writers' lock: see bank/stores/postgres/store.py.
    CREATE TABLE state (
        one smallint PRIMARY KEY CHECK (one = 1), bank bytea NOT NULL, next_group bigint NOT NULL,
        newest_closed bigint NOT NULL, unnumbered smallint NOT NULL DEFAULT 0,
        confirmed_group bigint NOT NULL DEFAULT 1, cursor bytea NOT NULL DEFAULT '',
        stated bigint NOT NULL DEFAULT 0, stated_at bigint NOT NULL DEFAULT 0,
        unstated smallint NOT NULL DEFAULT 0, terms bytea NOT NULL DEFAULT '',
        retired bigint NOT NULL DEFAULT 0, due bigint NOT NULL DEFAULT 0, due_since bigint NOT NULL DEFAULT 0,
        swept bigint NOT NULL DEFAULT 0, sweep_key bytea NOT NULL DEFAULT '',
        claim_rounds bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 20);
    -- Names the daemon's newest commit, so that it can tell what became of one whose answer was lost.
    CREATE TABLE newest_commit (one smallint PRIMARY KEY CHECK (one = 1), name bytea NOT NULL)
        WITH (fillfactor = 20);
    INSERT INTO newest_commit VALUES (1, '');
    """,
    """
    -- When a claim's round closed, as the board says (Unix seconds): its coins are as old as they were then.
    ALTER TABLE claim ADD COLUMN closed_at_s bigint NOT NULL DEFAULT 0;
    """,
    """
    -- What was held and never executed is forgotten when this round closes; it was 16 rounds after the
    -- order's last one, which its payer chose.
    ALTER TABLE held_order RENAME COLUMN last_round TO keep_round;
    UPDATE held_order SET keep_round = to_round + greatest(16, to_round - from_round + 1);
    """,
)
