from pathlib import Path

from trackfarm.catalog.field_reference import field_table

DOCS = Path(__file__).parents[3] / "docs" / "catalogs.md"


def test_the_documented_fields_are_the_model() -> None:
    text = DOCS.read_text(encoding="utf-8")
    documented = text.partition("a test compares -->\n")[2].partition("\n<!-- /fields -->")[0]
    assert documented == field_table()
