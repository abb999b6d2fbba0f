"""The desk, closed after each test; on both engines for tests that ask for ``engine`` or ``desk``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Server, running
from tests.unit.bank.desk import Desk
from tests.unit.bank.engines import Engine, Postgres, Sqlite


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Never skipped: scripts/setup.sh installs what it needs."""
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        yield Sqlite(tmp_path / "bank.db")
        return
    made = Postgres(request.getfixturevalue("postgres"), tmp_path)
    yield made
    made.release()


@pytest.fixture
def desk(engine: Engine, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, engine=engine)
    yield made
    made.close()


@pytest.fixture
def sqlite_desk(tmp_path: Path) -> Iterator[Desk]:
    """For tests that look at the file."""
    made = Desk(tmp_path)
    yield made
    made.close()
