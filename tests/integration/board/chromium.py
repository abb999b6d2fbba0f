"""Debian's Chromium, headless, for tests of the pages."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without any past."""
    if not CHROMIUM.exists():
        # Not a skip: a page that nobody looked at isn't done.
        pytest.fail(f"{CHROMIUM} is missing; run: apt-get update && apt-get install -y chromium")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS, chromium_sandbox=False)
        yield browser
        browser.close()
