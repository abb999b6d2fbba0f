"""
The commands of this floor: address, send, inbox, reply, doctor, echo.

Each is imported when it is asked for: other floors use only `options`, and shouldn't wait for the rest.
"""

from importlib import import_module
from typing import Any

_PLACES = {
    "address": "mail",
    "send": "mail",
    "inbox": "inbox",
    "reply": "mail",
    "doctor": "doctor",
    "echo": "echo",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
