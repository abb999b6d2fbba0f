"""The demo as a newcomer runs it, and what an outsider finds afterwards in logs, databases and processes."""

import base64
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixmint.demo.story import QUESTION, REPLY
from replyblocks.member import open_member
from wallet.purse import FILE_NAME, Purse
from wallet.restoring.words import SeedWords
from wallet.session import bank_of

SLOWEST_S = 90
NAMES = ("anna", "ben")
MEANT_TO_BE_READ = {"request.txt", "five.txt", "ben.address", "member.key"}
"""What the people wrote down on purpose, and the key that everything of theirs hangs on."""


class Played:
    """One run of the demo: its output, its folder, the command lines and environments of its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.titles: set[bytes] = set()
        self._over = threading.Event()
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        begin = time.monotonic()
        try:
            self.done = subprocess.run(
                [sys.executable, "-m", "mixmint", "demo", "--once", "--dir", str(folder)],
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
        finally:
            self._over.set()
            watcher.join()
        self.seconds = time.monotonic() - begin

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        self.titles.add((process / name).read_bytes())
                    except OSError:
                        continue  # gone meanwhile, or somebody else's


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return Played(tmp_path_factory.mktemp("demo") / "network")


def test_every_check_of_the_story_holds(played: Played) -> None:
    """Exit code 0, all nine steps, within the time that a newcomer is promised."""
    assert played.done.returncode == 0, played.done.stdout + played.done.stderr
    assert "every check held" in played.done.stdout
    assert "9. Anna writes to Ben" in played.done.stdout
    assert "Traceback" not in played.done.stdout + played.done.stderr
    assert (
        played.seconds < SLOWEST_S * 2
    )  # the machine that tests run on may be busy; the demo itself says its time


def test_no_daemon_is_left_behind(played: Played) -> None:
    """Whoever stops the demo gets his machine back."""
    folder = str(played.folder).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            assert folder not in (process / "cmdline").read_bytes()
        except OSError:
            continue


def test_no_log_has_a_traceback_or_an_error(played: Played) -> None:
    """A quiet run is quiet."""
    for log in (played.folder / "logs").iterdir():
        text = log.read_text()
        assert "Traceback" not in text, log
        assert " ERROR " not in text, f"{log}: {text}"


def secrets(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Everything that nobody but its owner may find: messages, tokens, seeds, the secrets of coins."""
    yield "message", QUESTION.encode()
    yield "answer", REPLY.encode()
    yield "payment request", (folder / "request.txt").read_text().strip().encode()
    for line in (folder / "five.txt").read_text().split():
        if len(line) > 40:
            yield "bearer coins", line.encode()
    for name in NAMES:
        member = open_member(folder / name)
        bank = bank_of(member)
        purse = Purse(folder / name / FILE_NAME, member.sealer, bank.id)
        found = {
            "address token": member.address.token,
            "reply token": member.replies.token,
            "endpoint key": member.address.endpoint.secret,
            "message key": member.sealing.secret,
            "account key": purse.account().seed,
            "seed": purse.reveal_seed(),
            "words": " ".join(SeedWords.of(purse.reveal_seed()).words[:3]).encode(),
        }
        coins = purse.coins().values()
        assert len(coins) > 3
        purse.close()
        for what, secret in [*found.items(), *(("coin", coin.secret) for coin in coins)]:
            yield f"{name}'s {what}", secret
            yield f"{name}'s {what}, hex", secret.hex().encode()
            yield f"{name}'s {what}, base64", base64.b64encode(secret)[:20]
            yield f"{name}'s {what}, base64 for URLs", base64.urlsafe_b64encode(secret)[:20]


def test_no_secret_is_in_a_log_a_database_or_a_process_title(played: Played) -> None:
    """Captured logs, databases with their write-ahead logs, pools, command lines, environments."""
    files = [
        path
        for path in played.folder.rglob("*")
        if path.is_file() and path.name not in MEANT_TO_BE_READ and path.suffix != ".key"
    ]
    assert any(path.suffix == ".log" for path in files)
    assert sum(path.suffix == ".db" for path in files) > 8
    places = {str(path): path.read_bytes() for path in files}
    places["process titles"] = b"\n".join(played.titles)
    assert b"wallet" in places["process titles"]
    assert os.fsencode(played.folder) in places["process titles"]
    looked_for = list(secrets(played.folder))
    assert len(looked_for) > 50
    for what, secret in looked_for:
        for place, content in places.items():
            assert secret not in content, f"{what} is in {place}"


def test_no_file_of_a_member_or_daemon_is_open_to_others(played: Played) -> None:
    """Keys and databases have mode 0600, or lie in a folder that only the owner enters."""
    for path in played.folder.rglob("*"):
        if path.suffix in {".key", ".db"}:
            assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_whatever_ends_the_demo_early_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """A closed terminal too, and a demo in the background of a script, where SIGINT is ignored at first."""
    command = f"exec {sys.executable} -m mixmint demo"
    demo = subprocess.Popen(
        ["/bin/sh", "-c", f"trap '' INT; {command}"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    try:
        for line in demo.stdout:
            if line.startswith("1. "):
                break
        demo.send_signal(number)
        out, _ = demo.communicate(timeout=20)
    finally:
        demo.kill()
    assert out.rstrip().endswith("stopped, and removed")
    assert list(tmp_path.iterdir()) == []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            assert os.fsencode(tmp_path) not in (process / "cmdline").read_bytes()
        except OSError:
            continue


def test_a_folder_in_use_is_one_clear_line(tmp_path: Path) -> None:
    """Nothing is kept there by us, and nothing is said to be."""
    (tmp_path / "mine").touch()
    command = [sys.executable, "-m", "mixmint", "demo", "--dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 1
    assert "is not empty; choose another folder" in done.stderr
    assert "kept" not in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
