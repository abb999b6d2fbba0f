"""What holds for all tests."""

import pytest
from hypothesis import HealthCheck, settings

from tests.leftovers import kill_orphans, sign_children


def pytest_configure(config: pytest.Config) -> None:
    """An example that takes long shows a machine at work, and nothing else. Nothing runs of a killed run."""
    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")
    kill_orphans()
    sign_children()
