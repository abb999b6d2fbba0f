"""What ``mixmint witness logs`` shows."""

from datetime import UTC, datetime
from typing import TypedDict

from bank.board.witness.core import NOTHING_SEEN
from bank.board.witness.daemon import read_logs
from bank.board.witness.settings import WitnessSettings
from bank.board.witness.store import forks_seen, newest_seen


class ForkView(TypedDict):
    """Two notes with one size and two roots, both signed by the log."""

    cosigned: str
    refused: str


class LogView(TypedDict):
    """One log: ``watched`` is False for one that the settings no longer name. ``time``: Unix seconds."""

    origin: str
    watched: bool
    size: int
    root: str
    time: int
    forks: list[ForkView]


def log_views(settings: WitnessSettings) -> list[LogView]:
    """The logs of the settings and of the database, by origin. Raises UserError."""
    watched, newest = read_logs(settings.logs), newest_seen(settings.database_path)
    forks = forks_seen(settings.database_path)
    views: list[LogView] = []
    for origin in sorted({*watched, *newest}):
        seen = newest.get(origin, NOTHING_SEEN)
        views.append(
            {
                "origin": origin,
                "watched": origin in watched,
                "size": seen.size,
                "root": seen.root.hex(),
                "time": seen.time_s,
                "forks": [
                    {"cosigned": fork.cosigned.encode().decode(), "refused": fork.refused.encode().decode()}
                    for fork in forks
                    if fork.origin == origin
                ],
            }
        )
    return views


def tell_logs(views: list[LogView]) -> str:
    """For people: a line for each log, and below it what convicts it."""
    lines: list[str] = []
    for view in views:
        what = "nothing cosigned yet"
        if view["time"]:
            when = datetime.fromtimestamp(view["time"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            what = f"{view['size']} leaves, cosigned {when}"
        lines.append(f"{view['origin']}: {what}{'' if view['watched'] else ' (no longer watched)'}")
        for fork in view["forks"]:
            lines += [
                "",
                "It signed two pasts. Cosigned:",
                "",
                fork["cosigned"],
                "Refused:",
                "",
                fork["refused"],
            ]
    return "\n".join(lines) if lines else "no logs; add their verifier keys to the settings"
