"""The example settings are complete, and say the defaults that the code has."""

from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from mix.settings import GatewaySettings, MixSettings, NodeSettings
from mixmint.settings import load

EXAMPLES = Path(__file__).parents[3] / "configs" / "example"


@pytest.mark.parametrize(("file", "kind"), [("mix.toml", MixSettings), ("gateway.toml", GatewaySettings)])
def test_examples_show_every_setting_with_its_default(file: str, kind: type[NodeSettings]) -> None:
    """An operator who copies the example changes nothing by it but names, addresses and places."""
    text = (EXAMPLES / file).read_text()
    settings = load(EXAMPLES / file, kind)
    for field in msgspec.structs.fields(kind):
        assert f"\n{field.name} = " in text, field.name
        value = getattr(settings, field.name)
        if field.default is not msgspec.NODEFAULT and not isinstance(value, Path):
            assert value == field.default, field.name


@pytest.mark.parametrize("kind", [MixSettings, GatewaySettings])
def test_every_setting_is_documented(kind: type[NodeSettings]) -> None:
    """With its unit and consequence, where a program can find it."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        metas = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, msgspec.Meta)]
        assert any(meta.description for meta in metas), name
