"""A wallet in one file: whole or not there, nothing without its passphrase, a copy that harms nobody."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from nacl import bindings

from bank.formats.coin import bank_id, sign_certificate
from bank.formats.entry import CertifiedEntry
from mixmint.errors import Unavailable, UserError
from mixmint.keys import SigningKey
from mixmint.passphrase import LEAST, passphrase_of, unwrap
from mixmint.sealing import Sealer
from replyblocks.member import open_member
from tests.unit.bank.board.logs import LogMaker
from tests.unit.replyblocks.fake_network import FakeNetwork
from tests.unit.wallet.town import Crash, Town
from wallet.derivation import Purpose
from wallet.purse import CoinState, Purse
from wallet.restoring import session
from wallet.restoring.backup import MAGIC, BackupFile, Head, write_backup
from wallet.restoring.copies import Copies
from wallet.restoring.deriving import id_of
from wallet.restoring.rows import Row, read_rows, write_rows
from wallet.restoring.scan import silently
from wallet.restoring.words import SeedWords
from wallet.session import check_usable, create_wallet

GOOD = passphrase_of("eight or more")
BANK = b"\x0b" * 32
SEED = b"\x05" * 32
HEAD = Head(BANK, "g1")
OLD, NEW = Sealer(b"\x01" * 32), Sealer(b"\x02" * 32)


@pytest.fixture
def purse(tmp_path: Path) -> Iterator[Purse]:
    made = Purse.create(tmp_path / "wallet.db", OLD, BANK, SEED)
    with made.transaction():
        for number in range(40):
            made.expect(Purpose(1 + number % 3), [number % 5], number + 1)
        made.set_fact("chain", b"something long" * 9000)
    yield made
    made.close()


def back_up(tmp_path: Path, name: str = "backup", at: Callable[[str], None] = lambda _: None) -> Path:
    path = tmp_path / name
    write_backup(path, HEAD, read_rows(tmp_path / "wallet.db", OLD), GOOD, LEAST, at)
    return path


def opened(path: Path) -> tuple[Head, list[Row]]:
    backup = BackupFile(path, GOOD)
    try:
        return backup.head, list(backup.rows())
    finally:
        backup.close()


def test_everything_comes_back_under_another_key(tmp_path: Path, purse: Purse) -> None:
    """Facts, counters, coins, each in its place; and what is made next is what the original would make."""
    head, rows = opened(back_up(tmp_path))
    assert head == HEAD
    write_rows(tmp_path / "again.db", NEW, rows)
    again = Purse(tmp_path / "again.db", NEW, BANK)
    assert again.coins() == purse.coins()
    assert again.counters() == purse.counters()
    assert again.fact("chain") == purse.fact("chain")
    assert again.account().public == purse.account().public
    made = []
    for each in (again, purse):
        with each.transaction():
            made.append(each.expect(Purpose.EXCHANGE, [1], 99))
    assert made[0] == made[1]
    again.close()


def test_backup_is_of_one_moment(tmp_path: Path, purse: Purse) -> None:
    """What the wallet writes meanwhile is in the next one: never half of a transaction."""
    rows = read_rows(tmp_path / "wallet.db", OLD)
    first = next(rows)
    with purse.transaction():
        purse.expect(Purpose.EXCHANGE, [1, 2], 50)
        purse.set_fact("later", b"x")
    seen = [first, *rows]
    assert sum(table == "coin" for table, _ in seen) == 40
    assert not any(row[0] == "later" for table, row in seen if table == "fact")
    assert sum(row[1] for table, row in seen if table == "counter") == 40


def test_file_tells_nothing_and_is_the_owners(tmp_path: Path, purse: Purse) -> None:
    """Neither seed nor secrets nor which bank."""
    path = back_up(tmp_path)
    data = path.read_bytes()
    secrets = [coin.secret for coin in purse.coins().values()]
    assert not any(hidden in data for hidden in (SEED, BANK, b"something long", *secrets))
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UserError, match="wrong passphrase"):
        BackupFile(path, passphrase_of("another one"))


def test_no_backup_overwrites_another(tmp_path: Path, purse: Purse) -> None:
    """Nor anything else that has the name, nor does a failed one leave anything."""
    path = back_up(tmp_path)
    data = path.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        back_up(tmp_path)

    def race(step: str) -> None:
        if step == "backup-written":
            (tmp_path / "other").write_bytes(b"somebody else's")

    with pytest.raises(UserError, match="exists already"):
        back_up(tmp_path, "other", race)
    assert path.read_bytes() == data
    assert (tmp_path / "other").read_bytes() == b"somebody else's"
    assert not list(tmp_path.glob(".mixmint-*"))
    with pytest.raises(UserError, match="can't"):
        back_up(tmp_path, "no-such-folder/backup")


@pytest.mark.parametrize("links", [True, False])
def test_backup_touches_no_file_of_anybody_elses(
    tmp_path: Path, purse: Purse, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Whatever lies beside it; also on a stick, whose file system has no links."""
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    beside = [tmp_path / name for name in ("backup.new", "backup.tmp", ".backup", "backup~")]
    for file in beside:
        file.write_bytes(b"somebody else's")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    path = back_up(tmp_path)
    assert opened(path)[0] == HEAD
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UserError, match="exists already"):
        back_up(tmp_path, "dangling")
    assert all(file.read_bytes() == b"somebody else's" for file in beside)
    names = {file.name for file in tmp_path.iterdir()}
    assert names >= {"backup", "dangling", *(file.name for file in beside)}
    assert not list(tmp_path.glob(".mixmint-*"))
    assert not (tmp_path / "nowhere").exists()


def no_link(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("step", ["backup-written", "backup-renamed"])
def test_killed_backup_is_whole_or_not_there(tmp_path: Path, purse: Purse, step: str) -> None:
    """Under its name there is never half of one; the next one gets past what was left."""

    def at(reached: str) -> None:
        if reached == step:
            raise Crash

    with pytest.raises(Crash):
        back_up(tmp_path, at=at)
    path = tmp_path / "backup"
    if step == "backup-written":
        assert not path.exists()
        back_up(tmp_path)
    assert opened(path)[0] == HEAD
    assert purse.coins()


def test_damage_anywhere_is_noticed(tmp_path: Path, purse: Purse) -> None:
    """A changed byte, a missing end, a chunk left out: never a wallet with some coins missing."""
    path = back_up(tmp_path)
    data = path.read_bytes()
    assert len(data) > 65536
    for at in (*range(len(MAGIC), 200, 17), 300, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(UserError):
            opened(path)
    for length in (0, 10, 100, 140, 170, 200, len(data) - 21, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(UserError):
            opened(path)


def test_other_files_are_said_to_be_none(tmp_path: Path) -> None:
    """Not "wrong passphrase" for a photograph."""
    path = tmp_path / "photograph"
    path.write_bytes(os.urandom(5000))
    with pytest.raises(UserError, match="no backup"):
        BackupFile(path, GOOD)
    with pytest.raises(UserError, match="can't read"):
        BackupFile(tmp_path / "none", GOOD)


@pytest.mark.parametrize(
    "row", [("sqlite_master", (1, 2)), ("coin", (1,)), ("fact", ("a", 5)), ("coin", ([], b"", b""))]
)
def test_rows_that_no_purse_has_are_refused(tmp_path: Path, row: Row) -> None:
    """Whoever knows the passphrase could still send a file of his own making."""
    with pytest.raises(Exception, match="row") as raised:
        write_rows(tmp_path / "w.db", NEW, [row])
    assert type(raised.value).__name__ == "MalformedMessage"


def test_second_implementation_reads_a_backup(tmp_path: Path, purse: Purse) -> None:
    """docs/spec/wallet-seed.md, section 4, from the page."""
    data = back_up(tmp_path).read_bytes()
    assert data[:16] == b"mixmint backup 1"
    key = unwrap(data[16:136], GOOD)
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, data[136:160], key)
    at, chunks, tags = 160, [], []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        chunk, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
            state, data[at + 4 : at + 4 + size], data[:16]
        )
        chunks.append(chunk)
        tags.append(tag)
        at += 4 + size
    assert tags == [0] * (len(tags) - 1) + [3]
    assert msgspec.msgpack.decode(chunks[0]) == [BANK, "g1"]
    rows = [row for chunk in chunks[1:-1] for row in msgspec.msgpack.decode(chunk)]
    assert ["fact", ["seed", SEED]] in rows
    assert chunks[-1] == b""


async def test_restored_backup_beside_the_original(town: Town) -> None:
    """Another number, the same coins; each sees what the other does, and nothing is lost."""
    ann = town.wallet("ann")
    await town.fund(ann, 40)
    await ann.cashier.withdraw(20)
    path = town.folder / "backup"
    sealer = Sealer(bytes(32))
    head = Head(town.names.id, "g1")
    write_backup(path, head, read_rows(ann.home / "wallet.db", sealer), GOOD, LEAST)
    await ann.cashier.exchange(4)
    home = town.folder / "copy"
    home.mkdir()
    write_rows(home / "wallet.db", sealer, opened(path)[1])
    copied = Purse(home / "wallet.db", sealer, town.names.id)
    with copied.transaction():
        copied.set_device(1)
        Copies(copied).note()
    copied.close()
    copy = town.wallet("copy")
    bob = town.wallet("bob")
    await copy.cashier.withdraw(3)
    await ann.cashier.exchange(16)
    await copy.cashier.pay((await bob.cashier.request(7, ""))[1], now=True)
    await ann.teller.sync()
    assert ann.units() == copy.units() == 16
    assert town.outstanding() == 16 + 7
    for wallet in (ann, copy):
        assert wallet.units(CoinState.LOST) == 0
        assert wallet.books.evidence() == []


@pytest.fixture
def network(tmp_path: Path) -> Path:
    services = (("bank", "bank"), ("board", "board"))
    return FakeNetwork(services, now_s=time.time()).write(tmp_path / "network")


def wallet_in(home: Path) -> Purse:
    member = open_member(home)
    return Purse(home / "wallet.db", member.sealer, session.bank_of(member).id)


def test_home_is_backed_up_and_restored(tmp_path: Path, network: Path) -> None:
    """The same seed and coins in another home, with a mailbox and a device number of its own."""
    purse = create_wallet(tmp_path / "one", network, "g2")
    with purse.transaction():
        purse.expect(Purpose.INVOICE, [1, 2], 1)
    file = tmp_path / "backup"
    session.back_up(tmp_path / "one", file, GOOD, LEAST)
    found = session.restore_backup(tmp_path / "two", network, None, file, GOOD)
    assert found == session.Restored(purse.account().public, 0, 0, 0, 1)
    again = wallet_in(tmp_path / "two")
    assert again.coins() == purse.coins()
    assert again.device == 1
    assert again.counters() == {(0, Purpose.INVOICE): 2}
    assert Copies(again).exist
    one, two = open_member(tmp_path / "one"), open_member(tmp_path / "two")
    assert one.replies.token != two.replies.token
    assert two.settings.gateway == "g2"
    again.close()
    # A copy of the copy is another one again.
    session.back_up(tmp_path / "two", tmp_path / "backup-2", GOOD, LEAST)
    third = session.restore_backup(tmp_path / "three", network, "g1", tmp_path / "backup-2", GOOD)
    assert third.device == 2
    with pytest.raises(UserError, match="a wallet already"):
        session.restore_backup(tmp_path / "three", network, "g1", file, GOOD)
    purse.close()


def test_refused_backup_leaves_no_wallet(tmp_path: Path, network: Path) -> None:
    """Another bank's, a damaged one: the home can be used for a good one afterwards."""
    create_wallet(tmp_path / "one", network, "g2").close()
    file, damaged = tmp_path / "backup", tmp_path / "damaged"
    session.back_up(tmp_path / "one", file, GOOD, LEAST)
    damaged.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged"):
        session.restore_backup(tmp_path / "two", network, None, damaged, GOOD)
    other = FakeNetwork((("bank", "bank"), ("board", "board")), now_s=time.time()).write(tmp_path / "other")
    with pytest.raises(UserError, match="another bank's"):
        session.restore_backup(tmp_path / "three", other, None, file, GOOD)
    for home in ("two", "three"):
        assert not list((tmp_path / home).glob("wallet.db*"))
    session.restore_backup(tmp_path / "two", network, None, file, GOOD)


@pytest.mark.parametrize("step", ["rows-written", "device-changed", "purse-renamed"])
def test_killed_restore_of_a_backup_is_done_again(tmp_path: Path, network: Path, step: str) -> None:
    """Under its name the wallet is whole and has its own number already; before, there is none."""
    create_wallet(tmp_path / "one", network, "g2").close()
    file = tmp_path / "backup"
    session.back_up(tmp_path / "one", file, GOOD, LEAST)

    def at(reached: str) -> None:
        if reached == step:
            raise Crash

    with pytest.raises(Crash):
        session.restore_backup(tmp_path / "two", network, None, file, GOOD, at)
    if step != "purse-renamed":
        assert not (tmp_path / "two" / "wallet.db").exists()
        session.restore_backup(tmp_path / "two", network, None, file, GOOD)
    again = wallet_in(tmp_path / "two")
    assert again.device == 1
    again.close()


async def test_passphrase_of_a_home_is_changed(
    tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set, used, removed; a wrong one changes nothing; the wallet's words come only with it."""
    monkeypatch.setattr("replyblocks.unlocking.MODERATE", LEAST)
    monkeypatch.setattr("replyblocks.unlocking.lock.__defaults__", (LEAST, lambda _: None))
    home = tmp_path / "one"
    purse = create_wallet(home, network, "g2")
    words = SeedWords.of(purse.reveal_seed()).words
    purse.close()
    assert (await session.seed_words(home)).words == words
    with pytest.raises(UserError, match="has no passphrase"):
        await session.change_passphrase(home, None, remove=True)
    file = tmp_path / "passphrase"
    file.touch(mode=0o600)
    file.write_text("eight or more\n")
    await session.change_passphrase(home, file, remove=False)
    settings = home / "member.toml"
    plain = settings.read_text()
    settings.write_text(plain + f'passphrase_file = "{file}"\n')
    assert (await session.seed_words(home)).words == words
    file.write_text("something else\n")
    for work in (session.seed_words(home), session.change_passphrase(home, None, remove=True)):
        with pytest.raises(UserError, match="wrong passphrase"):
            await work
    file.write_text("eight or more\n")
    await session.change_passphrase(home, None, remove=True)
    settings.write_text(plain)
    assert (await session.seed_words(home)).words == words


async def test_words_and_a_mirror_are_enough(tmp_path: Path) -> None:
    """No bank, no board on the network: a folder, whose checkpoint the directory's board has signed."""
    fake = FakeNetwork((("bank", "bank"), ("board", "board")), now_s=time.time())
    bank, board = SigningKey.generate(), SigningKey.generate()
    keys = {"bank": bank.public, "board": board.public}
    services = [
        replace(one, identity=keys[one.name], url="https://board.example.org" if one.name == "board" else "")
        for one in fake.directory.services
    ]
    fake.directory = replace(fake.directory, services=tuple(services))
    network = fake.write(tmp_path / "network")
    maker = LogMaker(tmp_path / "mirror", board)
    coin = id_of(SEED, bank_id(bank.public), 0, Purpose.WITHDRAW, 0)
    certificate = sign_certificate(bank, bank_id(bank.public), 4, 1, coin)
    maker.close([CertifiedEntry(coin, 4, 1, certificate).encode()])
    maker.publish()
    home = tmp_path / "home"
    words = SeedWords.of(SEED)
    member, goes_on = session.begin(home, network, "g1", lambda: words, 3)
    assert not goes_on
    with closing(wallet_in(home)) as purse, pytest.raises(UserError, match="isn't over"):
        check_usable(purse, lambda _: None)
    with pytest.raises(Unavailable):
        async with session.scanning(member, str(tmp_path), 1, silently) as (scan, _):
            await scan.near()
    member, goes_on = session.begin(home, None, None, lambda: pytest.fail("asked for words again"), 0)
    assert goes_on
    async with session.scanning(member, str(tmp_path / "mirror"), 1, silently) as (scan, purse):
        await scan.near()
        assert session.Restored.of(purse) == session.Restored(purse.account().public, 1, 0, 16, 3)
    lines: list[str] = []
    with closing(wallet_in(home)) as purse:
        check_usable(purse, lines.append)
    assert "mixmint wallet restore" in lines[0]
    with pytest.raises(UserError, match="at most 255"):
        session.begin(tmp_path / "other", network, "g1", lambda: words, 256)
