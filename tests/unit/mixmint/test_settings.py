"""Settings files."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from mixmint.errors import UserError
from mixmint.settings import Settings, describe, load


class Sample(Settings, frozen=True, kw_only=True):
    pool_path: Path
    operations_port: Annotated[int, Meta(ge=0, le=65535)]
    tick_s: float = 0.25
    store: Literal["a", "b"] = "a"


def write(folder: Path, text: str) -> Path:
    path = folder / "sample.toml"
    path.write_text(text)
    return path


def test_paths_count_from_the_files_folder(tmp_path: Path) -> None:
    """A daemon started from anywhere finds its files."""
    settings = load(write(tmp_path, 'pool_path = "pool"\noperations_port = 1\n'), Sample)
    assert settings.pool_path == tmp_path / "pool"
    assert settings.tick_s == 0.25
    assert "operations_port = 1" in describe(settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'pool_path = "p"\noperations_prot = 1\n',
            "unknown setting 'operations_prot'; did you mean 'operations_port'",
        ),
        ('pool_path = "p"\noperations_port = 70000\n', "operations_port"),
        ('pool_path = "p"\noperations_port = "1"\n', "setting 'operations_port': expected int, got str"),
        ("operations_port = 1\n", "setting 'pool_path' is missing"),
        ('pool_path = "p"\noperations_port = 1\nstore = "c"\n', "setting 'store': expected one of 'a', 'b'"),
        ("operations_port = \n", "not valid TOML"),
        ("pool_path = 5\noperations_port = 1\n", "setting 'pool_path': expected a text with a path"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    """The line names the setting and what to do."""
    with pytest.raises(UserError, match=message) as caught:
        load(write(tmp_path, text), Sample)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """And the message says what makes one."""
    with pytest.raises(UserError, match="init"):
        load(tmp_path / "none.toml", Sample)


def test_the_environment_replaces_paths_and_addresses_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting with consequences for safety stays where it is reviewed: in the file."""
    path = write(tmp_path, 'pool_path = "p"\noperations_port = 1\n')
    monkeypatch.setenv("MIXMINT_POOL_PATH", "/elsewhere")
    monkeypatch.setenv("MIXMINT_OPERATIONS_PORT", "2")
    monkeypatch.setenv("MIXMINT_TICK_S", "9.0")
    settings = load(path, Sample)
    assert (settings.pool_path, settings.operations_port, settings.tick_s) == (Path("/elsewhere"), 2, 0.25)
