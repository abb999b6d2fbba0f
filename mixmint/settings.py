"""
Settings: one TOML file per daemon, read into a frozen struct.

A key that no field knows is refused with the nearest known name, because a typing error that is silently
ignored is a setting that the operator believes to be in force.
"""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from mixmint.errors import UserError


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every daemon's settings; each field's Meta description states unit and consequence."""


S = TypeVar("S", bound=Settings)

_MISSING = "Object missing required field "
_OVERRIDABLE = ("_path", "_host", "_port", "_folder")


def load(path: Path, kind: type[S]) -> S:
    """
    Read and check a settings file.

    Relative paths in it count from the file's own folder. An environment variable ``MIXMINT_<FIELD>`` may
    replace a path or an address (a field whose name ends in path, folder, host or port), nothing else.

    Raises UserError: unreadable, not TOML, an unknown key (with the nearest known one), a wrong value.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"settings file {path} is missing; an init command writes one") from None
    except OSError as error:
        raise UserError(f"can't read settings file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}") from None
    return _convert(table, path, kind)


def _convert(table: dict[str, Any], path: Path, kind: type[S]) -> S:
    fields = {field.name for field in msgspec.structs.fields(kind)}
    for key in table:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(fields))}"
            raise UserError(f"{path}: unknown setting {key!r}; {hint}")
    hints = get_type_hints(kind)
    for name in fields:
        override = os.environ.get(f"MIXMINT_{name.upper()}")
        if override is not None and (name.endswith(_OVERRIDABLE) or hints[name] is Path):
            table[name] = int(override) if override.isdigit() else override
    try:
        settings = msgspec.convert(table, kind, strict=True, dec_hook=_read_path)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {_readable(str(error), hints)}") from None
    folder = path.resolve().parent
    moved = {
        name: folder / value
        for name in fields
        if isinstance(value := getattr(settings, name), Path) and not value.is_absolute()
    }
    return msgspec.structs.replace(settings, **moved)


def _readable(error: str, hints: dict[str, Any]) -> str:
    """msgspec's words, with the setting's name in front instead of its place in the document behind."""
    what, _, place = error.partition(" - at ")
    name = place.strip("`").removeprefix("$.")
    what = what.replace("`", "")
    if what.startswith(_MISSING) and not name:
        return f"setting {what.removeprefix(_MISSING)!r} is missing"
    if get_origin(hints.get(name)) is Literal:
        return f"setting {name!r}: expected one of {', '.join(map(repr, get_args(hints[name])))}"
    return f"setting {name!r}: {what[:1].lower()}{what[1:]}" if name else what


def _read_path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError("Expected a text with a path" if kind is Path else f"Expected a {kind.__name__}")


def describe(settings: Settings) -> str:
    """The settings as they would be used, one `name = value` a line: what ``--check`` prints."""
    return "\n".join(
        f"{field.name} = {getattr(settings, field.name)}" for field in msgspec.structs.fields(settings)
    )
