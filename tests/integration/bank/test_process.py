"""The bank as it is deployed: commands, HTTP, its board; crashes, backups, bad input."""

import asyncio
import json
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from bank.formats.answer import Certificates, Credited, Spent, Withdrawn
from bank.formats.coin import bank_id
from bank.formats.request import MOST_REQUEST_BYTES, encode_request
from mix.certificates import make_certificate
from replyblocks.member import create_member
from replyblocks.post import Post
from tests.integration.bank.place import Place
from tests.integration.network.harness import mixmint
from tests.unit.bank.desk import fresh


async def until_equal(place: Place, outstanding: int) -> dict[str, int]:
    """Wait until the board shows as many units outside of accounts."""
    async with asyncio.timeout(90):
        while True:
            totals = await asyncio.to_thread(place.totals)
            if totals["outstanding_units"] == outstanding:
                return totals
            await asyncio.sleep(0.05)


async def test_withdraw_exchange_deposit_and_the_board_agrees(place: Place) -> None:
    """The whole way of a coin over HTTP, with accounts made while the bank runs."""
    await place.start()
    account = place.account(100)
    (first, wanted), (second, kept) = fresh(4), fresh(3)
    assert isinstance(place.ask(place.withdraw(account, [wanted, kept])).body, Withdrawn)
    third, third_output = fresh(4)
    assert isinstance(place.ask(place.order([first], [third_output])).body, Certificates)
    body = place.ask(place.deposit(account, [third])).body
    assert isinstance(body, Credited)
    assert body.statement.statement.balance == 92
    totals = await until_equal(place, 8)
    assert (totals["accounts"], totals["coins"], totals["spent_coins"]) == (1, 3, 2)
    assert totals["repeats"] == totals["unknown"] == 0
    keys = place.get(f"{place.bank_url}/api/v1/keys")
    assert keys["bank"] == bank_id(place.key).hex()
    assert keys["signing_key"] == place.key.hex()
    openapi = place.get(f"{place.bank_url}/openapi.json")["paths"]
    assert isinstance(openapi, dict)
    assert {"/api/v1/order", "/api/v1/withdraw", "/api/v1/deposit", "/api/v1/keys"} <= set(openapi)
    listed = mixmint("bank", "account", "list", "--config", place.bank.config, "--json").stdout
    assert '"balance": 92' in listed
    assert place.bank.stop() == 0
    assert second.public


async def test_orders_over_the_mixes_get_the_same_answers(place: Place) -> None:
    """The same bytes by packet and by HTTP: one order, one answer."""
    await place.network.start()
    account = await asyncio.to_thread(place.account, 8)
    coin, output = fresh(3)
    withdrawal = await asyncio.to_thread(place.withdraw, account, [output])
    member = create_member(place.network.folder / "member", place.network.network_file, "g2")
    expires_s = int(time.time()) + 3600
    data = encode_request(withdrawal)
    order = encode_request(place.order([coin], [fresh(3)[1]]))
    async with Post(member) as post:
        answers = [
            await post.ask("bank", bytes([number]) * 16, each, expires_s, timeout_s=40)
            for number, each in enumerate((data, order), 1)
        ]
    assert answers == [await asyncio.to_thread(place.post_patiently, each) for each in (data, order)]
    assert (answers[0][0], answers[1][0]) == (8, 1)


async def test_50_simultaneous_orders_for_one_coin_over_50_connections(place: Place) -> None:
    """Exactly one wins; the others get a proof that verifies."""
    await place.start()
    account = place.account(8)
    coin, output = fresh(3)
    place.ask(place.withdraw(account, [output]))
    orders = [place.order([coin], [fresh(3)[1]]) for _ in range(50)]
    answers = await asyncio.gather(*(asyncio.to_thread(place.ask, order) for order in orders))
    winners = [index for index, answer in enumerate(answers) if isinstance(answer.body, Certificates)]
    assert len(winners) == 1
    for answer in answers:
        if not isinstance(answer.body, Certificates):
            assert type(answer.body) is Spent
            assert answer.body.proves()
            assert answer.body.seal == orders[winners[0]].seal


async def test_killed_bank_and_board_lose_nothing_and_repeat_nothing(place: Place) -> None:
    """kill -9 of each in turn, in the middle of orders; all answers are as before, the board adds up."""
    await place.start()
    account = place.account(64)
    coins = [fresh(0) for _ in range(64)]
    for start in range(0, 64, 16):
        outputs = [output for _, output in coins[start : start + 16]]
        assert isinstance(place.ask(place.withdraw(account, outputs)).body, Withdrawn)
    orders = [encode_request(place.order([key], [fresh(0)[1]])) for key, _ in coins]
    asking = [asyncio.create_task(asyncio.to_thread(place.post_patiently, order)) for order in orders]
    for daemon in (place.bank, place.board, place.bank):
        await asyncio.sleep(0.05)  # a moment in the middle: which one it is doesn't matter
        await asyncio.to_thread(daemon.kill)
        daemon.start()
        await asyncio.sleep(0.3)
    first = await asyncio.gather(*asking)
    assert {answer[0] for answer in first} == {1}
    await place.bank.ready()
    again = await asyncio.gather(*(asyncio.to_thread(place.post_patiently, order) for order in orders))
    assert again == first
    totals = await until_equal(place, 64)
    async with asyncio.timeout(90):
        while totals["coins"] < 128:
            totals = await asyncio.to_thread(place.totals)
            await asyncio.sleep(0.05)
    assert (totals["coins"], totals["spent_coins"], totals["repeats"]) == (128, 64, 0)


async def test_a_bank_restored_from_a_backup_stops_and_says_why(place: Place) -> None:
    """Its board has seen more than its books know."""
    await place.start()
    account = place.account(10)
    place.bank.stop()
    books = place.bank.config.parent / "bank.db"
    await asyncio.to_thread(shutil.copy, books, place.network.folder / "backup")
    place.bank.start()
    await place.bank.ready()
    place.ask(place.withdraw(account, [fresh(3)[1]]))
    await until_equal(place, 8)
    place.bank.stop()
    for name in ("bank.db", "bank.db-wal", "bank.db-shm"):
        (books.parent / name).unlink(missing_ok=True)
    await asyncio.to_thread(shutil.copy, place.network.folder / "backup", books)
    place.bank.start()
    assert place.bank.process is not None
    assert await asyncio.to_thread(place.bank.process.wait, 90) == 1
    assert "restored from a backup" in place.bank.text_of_log().splitlines()[-1]
    assert "Traceback" not in place.bank.text_of_log()


async def test_without_its_board_the_bank_says_later(place: Place) -> None:
    """503, unhealthy, and no state changed; with the board it goes on by itself."""
    place.bank.start()
    coin, _ = fresh(3)
    order = encode_request(place.order([coin], [fresh(3)[1]]))
    async with asyncio.timeout(90):
        while True:
            try:
                status, body = await asyncio.to_thread(place.post, order)
                break
            except OSError:
                await asyncio.sleep(0.05)
    assert status == 503
    assert b"board" in body
    place.board.start()
    await place.bank.ready()
    status, body = await asyncio.to_thread(place.post, order)
    assert (status, body[0]) == (200, 6)


async def test_bad_input_over_http(place: Place) -> None:
    """Uniform refusals, no traceback, process alive."""
    await place.start()
    assert place.post(bytes([1]) + bytes(MOST_REQUEST_BYTES), "order")[0] == 413
    assert place.post(b"", "order")[0] == 400
    assert place.post(b"\x03" + bytes(100), "order")[0] == 400
    status, body = place.post(b"\x01" + bytes(100), "order")
    assert (status, body[0]) == (200, 6)
    for garbage in (b"\x00\xff\r\n\r\n", b"POST /api/v1/order HTTP/9.9\r\n\r\n", b"GET " + b"/" * 100_000):
        with socket.create_connection(("127.0.0.1", int(place.bank_url.rsplit(":", 1)[1])), timeout=5) as raw:
            raw.sendall(garbage)
            raw.shutdown(socket.SHUT_WR)
            raw.recv(4096)
    assert place.post(b"\x01" + bytes(100), "order")[0] == 200
    assert "Traceback" not in place.bank.text_of_log()


def run(place: Place) -> tuple[int, str]:
    """`bank run --check`: exit code and standard error."""
    done = mixmint("bank", "run", "--config", place.bank.config, "--check", check=False)
    return done.returncode, done.stderr or done.stdout


def test_wrong_settings_are_one_clear_line_each(place: Place, tmp_path: Path) -> None:
    """What is wrong, and the next step; exit code 1."""
    folder = place.bank.config.parent
    code, text = run(place)
    assert (code, text.strip().splitlines()[-1]) == (0, "ok")
    good = place.bank.config.read_text()

    place.bank.config.write_text(good + "promise_round = 5\n")
    assert run(place) == (
        1,
        f"mixmint: {place.bank.config}: unknown setting 'promise_round'; did you mean 'promise_rounds'?\n",
    )
    place.bank.config.write_text(good + 'certificate_path = "none.pem"\n')
    assert run(place) == (1, "mixmint: HTTPS needs both certificate_path and certificate_key_path\n")
    place.bank.config.write_text(good)

    (folder / "bank.key").chmod(0o644)
    code, text = run(place)
    assert code == 1
    assert "chmod 600" in text
    (folder / "bank.key").chmod(0o600)

    (folder / "bank.db").rename(tmp_path / "elsewhere")
    code, text = run(place)
    assert code == 1
    assert "restore their newest copy" in text
    (folder / "bank.db").write_bytes(b"not a database" * 1000)
    code, text = run(place)
    assert code == 1
    assert text.count("\n") == 1
    assert "damaged" in text
    shutil.copy(tmp_path / "elsewhere", folder / "bank.db")

    with socket.socket() as taken:
        # Connections of another test's bank there may still be waiting for their end.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(place.bank_url.rsplit(":", 1)[1])))
        taken.listen()
        done = mixmint("bank", "run", "--config", place.bank.config, check=False)
        assert done.returncode == 1
        assert done.stderr.strip().splitlines()[-1].endswith("stop what listens there, or change the setting")
        assert "Traceback" not in done.stderr


def test_every_command_has_help_with_an_example() -> None:
    """Undocumented commands fail."""
    for words in (("init",), ("run",), ("account", "open"), ("account", "credit"), ("account", "list")):
        assert "Example:\n    mixmint bank" in mixmint("bank", *words, "--help").stdout


def get_over_tls(url: str, context: ssl.SSLContext) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=10, context=context) as reply:
        found: dict[str, object] = json.load(reply)
        return found


async def test_https_with_certificate_files(place: Place) -> None:
    """TLS 1.3 with the operator's own certificate, and nothing below it."""
    folder = place.bank.config.parent
    made = make_certificate("bank", time.time())
    (folder / "bank.crt").write_bytes(made.certificate_pem)
    (folder / "bank.crt.key").write_bytes(made.key_pem)
    with place.bank.config.open("a") as settings:
        settings.write('certificate_path = "bank.crt"\ncertificate_key_path = "bank.crt.key"\n')
    await place.start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(folder / "bank.crt")
    url = place.bank_url.replace("http:", "https:") + "/api/v1/keys"
    keys = await asyncio.to_thread(get_over_tls, url, context)
    assert keys["signing_key"] == place.key.hex()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(urllib.error.URLError):
        await asyncio.to_thread(get_over_tls, url, context)
