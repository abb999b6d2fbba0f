"""
What we use of sphinxmix, imported without pytest.

petlib, on which sphinxmix is built, imports pytest for tests inside its modules: 12 MB and 0.17 s in every
daemon and at every command. While it is being imported, a stand-in is there instead, and is gone afterwards.
Where pytest is loaded already, nothing is done.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any


@contextmanager
def _without_pytest() -> Iterator[None]:
    if "pytest" in sys.modules:
        yield
        return
    stand_in = ModuleType("pytest")
    # The two decorators that petlib applies to its tests while it is imported.
    stand_in.fixture = _unchanged  # type: ignore[attr-defined]  # a module made by hand
    stand_in.mark = SimpleNamespace(xfail=lambda *_, **__: _unchanged)  # type: ignore[attr-defined]  # same
    sys.modules["pytest"] = stand_in
    try:
        yield
    finally:
        del sys.modules["pytest"]


def _unchanged(function: Any) -> Any:
    return function


with _without_pytest():
    from sphinxmix import SphinxException
    from sphinxmix.SphinxClient import create_header, package_surb, pad_body, receive_surb
    from sphinxmix.SphinxParams import SphinxParams

__all__ = ["SphinxException", "SphinxParams", "create_header", "package_surb", "pad_body", "receive_surb"]
