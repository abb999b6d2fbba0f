"""Bearer files: the spec page's vector, modes, and damaged files."""

import stat
from pathlib import Path

import pytest

from bank.formats.coin import Coin, Secret
from mixmint.errors import UserError
from wallet.bearer import FIRST_LINE, Bearer, parse_bearer, read_bearer, write_bearer

PAGE = Path(__file__).parents[3] / "docs" / "spec" / "bearer.md"
BEARER = Bearer(
    b"\x01" * 32,
    (Coin(Secret(b"\x02" * 32), 0, 5, b"\x03" * 64), Coin(Secret(b"\x04" * 32), 2, 5, b"\x05" * 64)),
)


def test_the_pages_vector_is_this_file() -> None:
    """Both ways."""
    section = PAGE.read_text().split("## 4. Vector")[1]
    text = "".join(line[4:] + "\n" for line in section.splitlines() if line.startswith("    "))
    assert BEARER.text() == text
    assert parse_bearer(text) == BEARER
    assert BEARER.units == 5


def test_file_is_private_and_never_written_over(tmp_path: Path) -> None:
    """The very same file may be written again: a hand-over that is resumed does."""
    path = tmp_path / "coins"
    write_bearer(path, BEARER)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_bearer(path, BEARER)
    assert read_bearer(path) == BEARER
    with pytest.raises(UserError, match="exists already"):
        write_bearer(path, Bearer(b"\x02" * 32, BEARER.coins))
    assert read_bearer(path) == BEARER


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        FIRST_LINE,
        BEARER.text()[:-6],
        BEARER.text().replace("AgIC", "AgID", 1),
        BEARER.text().replace(FIRST_LINE, "mixmint bearer coins v2"),
        FIRST_LINE + "\n!!!!",
    ],
)
def test_damaged_files_are_refused_with_one_line(text: str) -> None:
    """What is wrong, and what to do."""
    with pytest.raises(UserError, match=r"damaged|no bearer file"):
        parse_bearer(text)


def test_the_same_coin_twice_is_refused() -> None:
    """Else it would count double."""
    twice = Bearer(BEARER.bank, (BEARER.coins[0], BEARER.coins[0]))
    with pytest.raises(UserError):
        parse_bearer(twice.text())


def test_unreadable_files_say_so(tmp_path: Path) -> None:
    """Missing, too large, not text."""
    with pytest.raises(UserError, match="no file"):
        read_bearer(tmp_path / "none")
    large = tmp_path / "large"
    large.write_bytes(b"a" * 30_000)
    with pytest.raises(UserError, match="too large"):
        read_bearer(large)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="no bearer file"):
        read_bearer(tmp_path / "bytes")


def test_repr_hides_the_coins() -> None:
    """Secrets stay out of logs."""
    assert "02" * 16 not in repr(BEARER)
    assert "units=5" in repr(BEARER)
