"""The newest directory for commands and services: looked for when the copy is old, never waited for long."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from mix.directory import Directory, directory_hash, sign_directory, write_network
from mix.directory import newest as newest_module
from mix.directory.newest import directory_of, followed, newest_directory
from mixmint.errors import UserError
from tests.unit.mix.networks import make_network, until

NOW_S = int(time.time())
NETWORK = make_network(now_s=NOW_S)
FIRST = NETWORK.signed
SECOND = sign_directory(
    msgspec.structs.replace(NETWORK.directory, sequence=1, previous=directory_hash(FIRST)),
    [NETWORK.authority],
)


class Server(ThreadingHTTPServer):
    """Serves one directory; ``asked`` counts."""

    signed: bytes | None = SECOND
    asked = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked += 1
        self.send_response(404 if server.signed is None else 200)
        self.end_headers()
        self.wfile.write(server.signed or b"")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def network(folder: Path, server: Server | None, file: bytes | None = FIRST) -> tuple[Path, Path]:
    """A network file with this source, and where the copy is kept."""
    if file is not None:
        (folder / "directory").write_bytes(file)
    sources = () if server is None else (f"http://127.0.0.1:{server.server_port}",)
    write_network(folder / "network.toml", folder / "directory", (NETWORK.authority.public,), 1, sources)
    return folder / "network.toml", folder / "home" / "directory"


def grow_old(kept: Path) -> None:
    os.utime(kept, (NOW_S - 7200, NOW_S - 7200))


def test_a_source_is_asked_once_in_a_while(tmp_path: Path, server: Server) -> None:
    """The first time, and when the copy has grown old; what it gave is kept."""
    places = network(tmp_path, server)
    assert newest_directory(*places, NOW_S).sequence == 1
    assert newest_directory(*places, NOW_S).sequence == 1
    assert server.asked == 1
    grow_old(places[1])
    newest_directory(*places, NOW_S)
    assert server.asked == 2


def test_nobody_to_ask_is_no_reason_to_stop(tmp_path: Path, server: Server) -> None:
    """The copy is used, and isn't tried again at each command; without any, it is said."""
    server.signed = None
    places = network(tmp_path, server)
    assert newest_directory(*places, NOW_S).sequence == 0
    asked = server.asked
    assert newest_directory(*places, NOW_S).sequence == 0
    assert server.asked == asked
    (tmp_path / "directory").unlink()
    places[1].unlink()
    with pytest.raises(UserError, match="can't read the directory"):
        newest_directory(*places, NOW_S)


def test_a_network_without_a_file_begins_with_what_a_source_gives(tmp_path: Path, server: Server) -> None:
    """Signed by a threshold, it needs no other word. Also inside of a running loop."""
    places = network(tmp_path, server, file=None)

    async def inside() -> Directory:
        return newest_directory(*places, NOW_S)

    assert asyncio.run(inside()).sequence == 1


def test_without_sources_nobody_is_asked_and_nothing_kept(tmp_path: Path) -> None:
    """The file counts."""
    places = network(tmp_path, None)
    assert newest_directory(*places, NOW_S).sequence == 0
    assert not places[1].parent.exists()


def test_an_older_file_does_not_take_a_member_back(tmp_path: Path, server: Server) -> None:
    """Once he has believed a newer one."""
    places = network(tmp_path, server)
    newest_directory(*places, NOW_S)
    server.signed = FIRST
    grow_old(places[1])
    assert newest_directory(*places, NOW_S).sequence == 1


def test_a_source_that_hangs_holds_up_a_command_for_a_short_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    """Then it goes on with what it has."""
    monkeypatch.setattr(newest_module, "LOOK_S", 0.2)
    released = threading.Event()
    monkeypatch.setattr(Handler, "do_GET", lambda _: released.wait(20))
    try:
        assert newest_directory(*network(tmp_path, server), NOW_S).sequence == 0
    finally:
        released.set()


def test_who_keeps_nothing_asks_each_time(tmp_path: Path, server: Server) -> None:
    """An audit, a recovery: no copy is left anywhere."""
    file, kept = network(tmp_path, server)
    assert [directory_of(file, NOW_S).sequence for _ in range(2)] == [1, 1]
    assert server.asked == 2
    assert not kept.parent.exists()


async def test_a_service_follows_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    """It is told of the one that it begins with, and of each newer one."""
    monkeypatch.setattr("mix.directory.following.LONGEST_PERIOD_S", 0.05)
    monkeypatch.setattr("mix.directory.following.SHORTEST_PERIOD_S", 0.05)
    places = network(tmp_path, server)
    places[1].parent.mkdir()
    server.signed = FIRST
    used: list[int] = []
    async with followed(*places, lambda directory: used.append(directory.sequence)):
        assert used == [0]
        server.signed = SECOND
        await until(lambda: used == [0, 1])
