"""What holds for all tests."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.leftovers import kill_orphans, sign_children

MEMORY = Path("/dev/shm")  # noqa: S108 - folders of our own are made in it
ENOUGH_BYTES = 4 * 2**30


def pytest_configure(config: pytest.Config) -> None:
    """Before any test, and any folder of a test's."""
    # An example that takes long shows a machine at work, and nothing else.
    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")
    # What a process wrote outlives it in memory as on a disk, and no test cuts the power: waiting for a disk
    # proves nothing, and daemons of tests write with every tick.
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES:
        tempfile.tempdir = str(MEMORY)
    kill_orphans()
    sign_children()
