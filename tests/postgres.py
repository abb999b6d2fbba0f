"""A private PostgreSQL server for tests: its own folder, a Unix socket, no port; gone when the tests are."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from tests.leftovers import is_left, sign

T = TypeVar("T")

HINT = "PostgreSQL's server is missing; scripts/setup.sh installs it (Debian: apt-get install postgresql)"
_PREFIX = "mixmint-pg-"
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "fsync": "off",
    "full_page_writes": "off",
    "log_min_messages": "fatal",
}


def program(name: str) -> str:
    """The path of one of the server's programs. Raises FileNotFoundError: tests never go without."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = shutil.which(name) or next((str(place) for place in places), None)
    if found is None:
        raise FileNotFoundError(HINT)
    return found


class Server:
    """
    ``settings`` on top of those for tests, whose server forgets in a power cut: that is not what they try.
    """

    def __init__(self, **settings: str) -> None:
        remove_left()
        # A short path: a socket's has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        sign(self.folder)
        self._as = _somebody()
        self._settings = _SETTINGS | settings
        self._numbers = count(1)
        self.spare: list[str] = []
        """Addresses of databases that a test is done with."""
        self._process: subprocess.Popen[bytes] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        if "user" in self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        self._call(
            *(program("initdb"), "--pgdata", self.folder / "data", "--username", "tester"),
            *("--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )

    def start(self) -> None:
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", self.folder / "data", "-k", self.folder, *settings],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self._as,
            )
        give_up_s = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < give_up_s, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: at once, in order; SIGQUIT: as in a crash, to be recovered at the next start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self.folder)

    def dsn(self, database: str = "postgres", user: str = "tester") -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def database(self) -> str:
        """A new, empty one; its address."""
        name = f"bank{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.dsn(name)

    def sql(self, sql: str, *arguments: object, dsn: str | None = None) -> Sequence[Any]:
        """Rows; also from within a running event loop, for whose sake this has one in a thread of its own."""

        async def ask() -> Sequence[Any]:
            connection = await asyncpg.connect(
                dsn or self.dsn(), timeout=10, server_settings={"search_path": "mixmint_bank"}
            )
            try:
                return [tuple(row) for row in await connection.fetch(sql, *arguments)]
            finally:
                await connection.close()

        return self.run(ask())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in that loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def _call(self, *command: object) -> None:
        done = subprocess.run(
            [str(part) for part in command], cwd=self.folder, capture_output=True, check=False, **self._as
        )
        assert done.returncode == 0, done.stderr.decode()


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Server]:
    """A server for as long as the context lasts."""
    server = Server(**settings)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def remove_left(place: Path | None = None) -> None:
    """Stop and remove the servers of runs that were killed. ``place``: where they are."""
    for folder in (place or Path(tempfile.gettempdir())).glob(_PREFIX + "*"):
        if is_left(folder) and _is_stopped(folder / "data"):
            shutil.rmtree(folder, ignore_errors=True)


def _is_stopped(data: Path) -> bool:
    """Stop the server that works in this folder, if any; whether none does now."""
    try:
        pid = int((data / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return True
    give_up_s = time.monotonic() + 10
    # A process that works elsewhere has been given the number since.
    while _works_in(pid, data) and time.monotonic() < give_up_s:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
        time.sleep(0.02)
    return not _works_in(pid, data)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder
    except OSError:
        return False


def _somebody() -> dict[str, Any]:
    """PostgreSQL refuses to run as root; then as its own user, or as nobody."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise FileNotFoundError("neither a user postgres nor nobody, and PostgreSQL doesn't run as root")
