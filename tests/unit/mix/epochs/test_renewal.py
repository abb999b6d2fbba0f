"""Certificates: the next made in time, announced for an epoch, then used; killed between its two files."""

from pathlib import Path
from ssl import PEM_cert_to_DER_cert

import pytest

from mix.certificates import VALID, make_certificate
from mix.epochs import renewal
from mix.epochs.renewal import Renewal
from mix.links.tls import link_server_context
from mixmint.errors import UserError
from mixmint.keys import write_new, write_secret
from tests.unit.mix.networks import NOW_S

LATE_S = NOW_S + VALID.total_seconds() * 0.95


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make_certificate("m1", NOW_S)
    write_secret(tmp_path / "link.key", made.key_pem)
    write_new(tmp_path / "link.crt", made.certificate_pem)
    return tmp_path


def opened(folder: Path) -> Renewal:
    return Renewal(folder / "link.crt", folder / "link.key", "m1")


def check_pair(folder: Path) -> None:
    link_server_context(folder / "link.crt", folder / "link.key", [], lambda _: None)


def test_it_is_announced_for_a_whole_epoch_before_it_is_used(folder: Path) -> None:
    """Made in epoch 7 and listed since: used in epoch 9, not earlier, and not while it isn't listed."""
    certificates = opened(folder)
    first = certificates.current
    assert not certificates.turn(NOW_S, 7, is_announced=False)
    assert certificates.next == b""
    assert certificates.turn(LATE_S, 7, is_announced=False)
    following = certificates.next
    assert following not in (b"", first)
    for epoch, is_announced in ((7, True), (8, True), (9, False)):
        assert not certificates.turn(LATE_S, epoch, is_announced=is_announced)
        assert (certificates.current, certificates.next) == (first, following)
    assert certificates.turn(LATE_S, 9, is_announced=True)
    assert (certificates.current, certificates.next) == (following, b"")
    check_pair(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["link.crt", "link.key"]


@pytest.mark.parametrize("moves", [0, 1])
def test_a_kill_while_it_is_put_in_place(folder: Path, moves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before both moves, or between them: the next start has a pair, and goes on."""
    certificates = opened(folder)
    certificates.turn(LATE_S, 7, is_announced=False)
    following, left = certificates.next, [moves]
    move = renewal._move

    def killed(path: Path, to: Path) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        move(path, to)

    with monkeypatch.context() as patched:
        patched.setattr(renewal, "_move", killed)
        with pytest.raises(KeyboardInterrupt):
            certificates.turn(LATE_S, 9, is_announced=True)
    again = opened(folder)
    check_pair(folder)
    assert again.turn(LATE_S, 9, is_announced=True) is (moves == 0)
    assert again.current == following
    check_pair(folder)


def test_a_kill_while_it_is_made(folder: Path) -> None:
    """A key without its certificate was never announced: it goes, and a new one is made."""
    first = PEM_cert_to_DER_cert((folder / "link.crt").read_text())
    write_secret(folder / "next-link-7.key", make_certificate("m1", NOW_S).key_pem)
    certificates = opened(folder)
    assert not (folder / "next-link-7.key").exists()
    assert (certificates.current, certificates.next) == (first, b"")
    assert certificates.turn(LATE_S, 8, is_announced=False)


def test_a_missing_certificate_is_said(folder: Path) -> None:
    """A new one in its place would be nobody's."""
    (folder / "link.crt").unlink()
    with pytest.raises(UserError, match="restore it from a backup"):
        opened(folder)
