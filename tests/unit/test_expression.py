"""The small language of conditions and constraints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.search.search_cases import patiently
from tuner import expression
from tuner.expression import Value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("7 // 2 - 7 % 4", 0),
        ("7 / 2", 3.5),
        ("-n + 1", -2),
        ("n * threads <= 6", True),
        ("1 < n < 3", False),
        ("1 < n <= 3", True),
        ('strategy == "row_wise"', True),
        ('strategy != "row_wise"', False),
        ('strategy in ["row_wise", "table_wise"]', True),
        ('strategy not in ("row_wise", "table_wise")', False),
        ("not fused", False),
        ("fused and n == 3", True),
        ("n == 4 or threads == 2", True),
        ("n > 5 or threads > 5", False),
        ("True", True),
    ],
)
def test_values(text: str, value: object) -> None:
    params: dict[str, Value] = {"n": 3, "threads": 2, "strategy": "row_wise", "fused": True}
    assert expression.evaluate(text, params) == value


@pytest.mark.parametrize(
    ("text", "construct"),
    [
        ("print(1)", "Call"),
        ("n.real", "Attribute"),
        ("().__class__.__bases__", "Attribute"),
        ("options[0]", "Subscript"),
        ("[x for x in n]", "ListComp"),
        ("lambda: 1", "Lambda"),
        ("(n := 3)", "NamedExpr"),
        ("f'{n}'", "JoinedStr"),
        ("{1: 2}", "Dict"),
        ("n if n else 1", "IfExp"),
        ("9 ** 9", "Pow"),
        ("1 << 99", "LShift"),
        ("n is 3", "Is"),
        ("await n", "Await"),
        ("*n", "Starred"),
    ],
)
def test_nothing_else_is_allowed(text: str, construct: str) -> None:
    message = f"uses {construct}|not an expression"
    with pytest.raises(ValueError, match=message):
        expression.evaluate(text, {"n": 1})
    with pytest.raises(ValueError, match=message):
        expression.names(text)


@pytest.mark.parametrize("text", ["", "n ==", "n = 3", "import os", "n; n", "(n"])
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(ValueError, match="is not an expression"):
        expression.names(text)


def test_names() -> None:
    assert expression.names('nnodes * threads <= 2 and strategy != "nnodes2"') == {
        "nnodes",
        "threads",
        "strategy",
    }


def test_a_condition_on_what_is_absent_does_not_hold() -> None:
    assert not expression.holds("columns > 1", {"n": 3})
    assert not expression.holds("not columns", {"n": 3})
    assert expression.holds("n == 3 or columns > 1", {"n": 3})
    with pytest.raises(KeyError, match="columns"):
        expression.evaluate("columns > 1", {"n": 3})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n / 0", "division by zero"),
        ("n % (n - n)", "zero"),
        ('n + "a"', "unsupported operand"),
        ('n < "a"', "not supported between"),
        ("1 in n", "not iterable|not a container"),
        ('-"a"', "bad operand"),
    ],
)
def test_what_cannot_be_evaluated_says_why_and_with_what(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        expression.evaluate(text, {"n": 3})
    assert text in str(caught.value)
    assert "{'n': 3}" in str(caught.value)


@patiently
@given(
    left=st.integers(-50, 50),
    right=st.integers(-50, 50),
    op=st.sampled_from(["+", "-", "*", "<", "<=", ">", ">=", "==", "!="]),
)
def test_arithmetic_and_comparison_are_those_of_python(left: int, right: int, op: str) -> None:
    expected = eval(f"{left} {op} {right}")
    assert expression.evaluate(f"a {op} b", {"a": left, "b": right}) == expected


@patiently
@given(a=st.booleans(), b=st.booleans(), c=st.booleans())
def test_logic_is_that_of_python(a: bool, b: bool, c: bool) -> None:
    params: dict[str, Value] = {"a": a, "b": b, "c": c}
    assert expression.holds("a and not b or c", params) == ((a and not b) or c)


@patiently
@given(st.text(max_size=30))
def test_any_text_gives_names_or_a_value_error(text: str) -> None:
    try:
        found = expression.names(text)
    except ValueError:
        return
    assert all(name.isidentifier() for name in found)
