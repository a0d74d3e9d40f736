"""Field table of docs/catalogs.md, generated from the model so that it cannot drift.

`python -m trackfarm.catalog.field_reference` prints it.
"""

from typing import get_args

from pydantic.fields import FieldInfo

from trackfarm.catalog.brief import NOT_IDENTITY, Brief
from trackfarm.catalog.error_messages import expected
from trackfarm.catalog.field_names import ALIASES

_HEAD = (
    "| field | takes | default | other names | same track? | meaning |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def field_table() -> str:
    """Return all fields of a brief as a Markdown table."""
    rows = [_row(name, Brief.model_fields[name]) for name in ALIASES]
    return "\n".join([_HEAD, *rows])


def _row(name: str, info: FieldInfo) -> str:
    identity = "no matter" if name in NOT_IDENTITY else "must be equal"
    aliases = ", ".join(f"`{alias}`" for alias in ALIASES[name]) or "-"
    takes = expected(name).replace("|", "\\|").replace("<", "&lt;")
    cells = (f"`{name}`", takes, _default(info), aliases, identity, info.description)
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    if info.default is None and type(None) in get_args(info.annotation):
        return "none"
    return "empty" if info.default in ("", (), {}) else f"`{info.default}`"


if __name__ == "__main__":
    print(field_table())
