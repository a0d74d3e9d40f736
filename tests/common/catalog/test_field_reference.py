from pathlib import Path

from trackfarm.catalog.field_reference import field_table

DOCS = Path(__file__).parents[3] / "docs" / "catalogs.md"


def test_field_table_in_the_documentation_is_current() -> None:
    text = DOCS.read_text(encoding="utf-8")
    documented = text.partition("a test compares -->\n")[2].partition("\n<!-- /fields -->")[0]
    assert documented == field_table()
