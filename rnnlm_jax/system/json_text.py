"""JSON text that every parser accepts: NaN and infinities become null, lone surrogates U+FFFD."""

import json
import math
import re
from typing import Any

_SURROGATES = re.compile("[\ud800-\udfff]")
_ON_ONE_LINE = json.JSONEncoder(allow_nan=False)


def dumps(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON text, on one line unless ``indent`` is given."""
    if indent is None:
        return _ON_ONE_LINE.encode(_valid(value))
    return json.dumps(_valid(value), indent=indent, allow_nan=False)


def _valid(value: Any) -> Any:
    if isinstance(value, dict):
        return {_valid(key): _valid(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_valid(item) for item in value]
    if isinstance(value, str):  # command-line arguments that are not UTF-8 contain surrogates
        return value if value.isascii() else _SURROGATES.sub("\ufffd", value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
