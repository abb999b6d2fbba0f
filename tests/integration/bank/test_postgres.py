"""The bank as it is deployed on PostgreSQL: moved there by the command, killed, and its server with it."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

from bank.formats.answer import Withdrawn
from bank.formats.request import encode_request
from tests.integration.bank.place import Place
from tests.integration.network.harness import mixmint
from tests.postgres import Server, running
from tests.unit.bank.desk import fresh

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that asks the bank for a password."""
    with running() as made:
        rules = made.folder / "data" / "pg_hba.conf"
        rules.write_text("local all banker scram-sha-256\n" + rules.read_text())
        made.sql(f"CREATE ROLE banker LOGIN PASSWORD '{PASSWORD}'")
        made.sql("SELECT pg_reload_conf()")
        yield made


def settle_there(place: Place, server: Server, store: str) -> None:
    """The settings of a bank whose books are, or will be, in a new database."""
    name = server.database().partition("@/")[2].partition("?")[0]
    server.sql(f"ALTER DATABASE {name} OWNER TO banker")
    folder = place.bank.config.parent
    (folder / "postgres.password").write_text(PASSWORD + "\n")
    (folder / "postgres.password").chmod(0o600)
    place.bank.config.write_text(
        place.bank.config.read_text() + f'postgres_dsn = "{server.dsn(name, "banker")}"\n'
        'postgres_password_path = "postgres.password"\n'
    )
    use(place, store)


def use(place: Place, store: str) -> None:
    lines = [line for line in place.bank.config.read_text().splitlines() if not line.startswith("store =")]
    place.bank.config.write_text("\n".join([*lines, f'store = "{store}"', ""]))


def migrate(place: Place) -> str:
    return mixmint("bank", "migrate", "--config", place.bank.config, "--to", "postgres").stdout


def refusal(place: Place) -> str:
    done = mixmint("bank", "run", "--config", place.bank.config, "--check", check=False)
    assert done.returncode == 1
    return done.stderr.strip()


async def test_a_bank_moves_and_crashes_and_repeats_nothing(place: Place, server: Server) -> None:
    """
    Half of the orders before the move, half after; then bank and server are killed in the middle of orders.
    Every answer stays what it was, and the board adds up.
    """
    await place.start()
    account = place.account(64)
    coins = [fresh(0) for _ in range(64)]
    for start in range(0, 64, 16):
        outputs = [output for _, output in coins[start : start + 16]]
        assert isinstance(place.ask(place.withdraw(account, outputs)).body, Withdrawn)
    orders = [encode_request(place.order([key], [fresh(0)[1]])) for key, _ in coins]
    first = [await asyncio.to_thread(place.post_patiently, order) for order in orders[:32]]
    place.bank.stop()

    settle_there(place, server, "sqlite")
    said = await asyncio.to_thread(migrate, place)
    assert "spent: 32 rows" in said
    assert 'set store = "postgres"' in said
    assert 'Set store = "postgres"' in await asyncio.to_thread(refusal, place)
    use(place, "postgres")
    assert "moved before" in await asyncio.to_thread(migrate, place)

    place.bank.start()
    await place.bank.ready()
    asking = [asyncio.create_task(asyncio.to_thread(place.post_patiently, order)) for order in orders]
    for _ in range(2):
        await asyncio.sleep(0.05)  # a moment in the middle: which one it is doesn't matter
        await asyncio.to_thread(place.bank.kill)
        place.bank.start()
        await asyncio.sleep(0.3)
    # A bank that begins while its server is away says so and ends; here it is to live through it.
    await place.bank.ready()
    await asyncio.to_thread(server.stop, signal.SIGQUIT)
    await asyncio.to_thread(server.start)
    answers = await asyncio.gather(*asking)
    assert answers[:32] == first
    assert {answer[0] for answer in answers} == {1}
    await place.bank.ready()
    again = await asyncio.gather(*(asyncio.to_thread(place.post_patiently, order) for order in orders))
    assert again == answers
    async with asyncio.timeout(90):
        while True:
            totals = await asyncio.to_thread(place.totals)
            if totals["coins"] == 128:
                break
            await asyncio.sleep(0.05)
    assert (totals["outstanding_units"], totals["spent_coins"], totals["repeats"]) == (64, 64, 0)
    listed = mixmint("bank", "account", "list", "--config", place.bank.config, "--json").stdout
    assert '"total": 0' in listed
    assert PASSWORD not in place.bank.text_of_log()
    assert PASSWORD not in listed
    assert "Traceback" not in place.bank.text_of_log()
    place.bank.stop()


async def test_what_stops_a_bank_on_postgresql_is_one_clear_line(place: Place, server: Server) -> None:
    """A second bank, a wrong password, a password that others can read or that stands in the address."""
    settle_there(place, server, "postgres")
    assert "no bank's books" in await asyncio.to_thread(refusal, place)
    await asyncio.to_thread(migrate, place)
    await place.start()
    second = mixmint("bank", "run", "--config", place.bank.config, check=False)
    assert second.returncode == 1
    assert second.stderr.strip().endswith("Stop the other one first")
    place.bank.stop()

    password = place.bank.config.parent / "postgres.password"
    password.chmod(0o644)
    assert "chmod 600" in refusal(place)
    password.chmod(0o600)
    password.write_text("wrong\n")
    assert "password authentication failed" in refusal(place)
    text = place.bank.config.read_text()
    place.bank.config.write_text(text.replace("banker@", "banker:secret@"))
    said = refusal(place)
    assert "postgres_password_path" in said
    assert "banker:secret" not in said
    place.bank.config.write_text(text.replace("?host=", "?host=db.example.org&port="))
    assert "sslmode" in refusal(place)
