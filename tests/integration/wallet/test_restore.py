"""Words, backup, passphrase and restore as a person uses them, with kill -9 in the middle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.wallet.people import Person, Place, attempt, run

PASSPHRASE = "eight or more"


def kept(folder: Path, name: str, text: str) -> Path:
    """A file that only its owner can read."""
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return path


def in_home(person: Person, name: str) -> Person:
    return Person(person.place, person.place.folder / name)


def test_lost_wallet_comes_back_from_words_and_board(place: Place, tmp_path: Path) -> None:
    """The restore is killed as soon as the wallet can be used, and it can be; run again, it goes on."""
    ann = place.person("lost", "g1", 40)
    ann.run("withdraw", "13")
    words = tmp_path / "words"
    shown = ann.run("words", "--out", str(words))
    assert words.stat().st_mode & 0o777 == 0o600
    assert len(words.read_text().split()) == 48
    refused = ann.run("words", code=1)
    secret = [word for word in words.read_text().split() if word.isalpha()]
    assert secret[0] not in (refused.stdout + refused.stderr + shown.stdout + shown.stderr).split()

    again = in_home(ann, "found")
    command = [sys.executable, "-m", "mixmint", "wallet", "restore", "--home", str(again.home)]
    network = ["--network", str(place.folder / "network.toml"), "--gateway", "g2", "--words", str(words)]
    with subprocess.Popen(
        [*command, *network, "--processes", "1"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "can be used" in line:
                break
        else:
            raise AssertionError(lines)
        os.kill(process.pid, signal.SIGKILL)
    assert "13 units" in lines[-1]
    assert again.free == 13
    exchanged = again.run("exchange", "5")
    assert "last search isn't over" in exchanged.stderr
    # The old home turns up: both are one wallet.
    assert ann.free == 13
    stopped = run("wallet", "restore", "--home", str(ann.home), "--words", str(words), code=1)
    assert "holds a wallet already" in stopped.stderr


def test_words_that_are_wrong_leave_nothing(place: Place, tmp_path: Path) -> None:
    """No home is made before the words are right; the wrong one is named."""
    home = place.folder / "nobody"
    command = (
        "restore",
        "--home",
        str(home),
        "--network",
        str(place.folder / "network.toml"),
        "--gateway",
        "g1",
    )
    done = run("wallet", *command, code=1, stdin="abandon " * 22 + "abandn art")
    assert "word 23, 'abandn'" in done.stderr
    assert "did you mean 'abandon'" in done.stderr
    assert not home.exists()


def test_backup_and_passphrase(place: Place, tmp_path: Path) -> None:
    """A file under a passphrase becomes a second copy; a locked home opens with its passphrase only."""
    ann = place.person("careful", "g1", 20)
    ann.run("withdraw", "6")
    word = kept(tmp_path, "word", PASSPHRASE)
    backup = tmp_path / "backup"
    ann.run("backup", str(backup), "--backup-passphrase-file", str(word))
    copy = in_home(ann, "copy")
    network = ("--network", str(place.folder / "network.toml"))
    from_file = ("restore", "--backup", str(backup), *network, "--backup-passphrase-file")
    made = copy.json(*from_file, str(word))
    assert (made["free"], made["device"], made["account"]) == (6, 1, ann.account)
    assert copy.json("deposit", "2")["state"] == "settled"

    ann.run("passphrase", "--new-passphrase-file", str(word))
    locked = attempt("wallet", "balance", "--home", str(ann.home))
    assert (locked.returncode, locked.stderr.count("\n")) == (1, 1)
    assert "passphrase" in locked.stderr
    wrong = kept(tmp_path, "wrong", "another one")
    refused = attempt("wallet", "balance", "--home", str(ann.home), "--passphrase-file", str(wrong))
    assert refused.stderr == f"mixmint: wrong passphrase; {ann.home} stays locked\n"
    opened = ann.run("balance", "--json", "--passphrase-file", "-", stdin=PASSPHRASE + "\n")
    assert '"free": 4' in opened.stdout
