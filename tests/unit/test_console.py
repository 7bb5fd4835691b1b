"""Consoles that print text as it is."""

import io

import pytest
from rich.table import Table

from segflow.console import plain_console

TEXT = "[bold] [/b] :cat: https://example.org 'a' " + "x" * 200


def test_text_comes_out_as_it_is():
    said = io.StringIO()
    plain_console(said).print(TEXT)
    assert said.getvalue() == f"{TEXT}\n"


def test_tables_hold_text_as_it_is():
    said = io.StringIO()
    table = Table("class", title="[/b] :cat:")
    table.add_row("[/x] :dog:")
    plain_console(said).print(table)
    assert "[/b] :cat:" in said.getvalue()
    assert "[/x] :dog:" in said.getvalue()


@pytest.mark.parametrize(("stderr", "expected"), [(False, ("a\n", "")), (True, ("", "a\n"))])
def test_it_writes_where_it_is_told(capsys, stderr, expected):
    plain_console(stderr=stderr).print("a")
    assert tuple(capsys.readouterr()) == expected
