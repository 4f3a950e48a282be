"""Small expressions over parameters, e.g. `nnodes * threads_per_rank <= 2`.

Parsed by `ast` and evaluated by hand: names, numbers, strings, lists, arithmetic, comparisons,
`and`, `or`, `not`, `in`. Nothing can be called and no attribute can be read.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache

Value = int | float | str | bool

_BINARY: dict[type[ast.operator], Callable[..., object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[..., object]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
_ALLOWED = (
    *_BINARY,
    *_COMPARE,
    ast.Expression,
    ast.BinOp,
    ast.Compare,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.USub,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.List,
    ast.Tuple,
)


@lru_cache(maxsize=1024)
def _parse(text: str) -> ast.expr:
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        raise ValueError(f"{text!r} is not an expression: {error.msg}") from error
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ValueError(f"{text!r} uses {type(node).__name__}, which is not allowed")
    return tree.body


def names(text: str) -> frozenset[str]:
    """The parameter names that an expression reads. Raises ValueError where it is not one."""
    return frozenset(node.id for node in ast.walk(_parse(text)) if isinstance(node, ast.Name))


def evaluate(text: str, params: Mapping[str, Value]) -> object:
    """The value of an expression. Raises ValueError where it is bad, KeyError on unknown names."""
    try:
        return _value(_parse(text), params)
    except (TypeError, ZeroDivisionError) as error:
        raise ValueError(f"{text!r} cannot be evaluated with {dict(params)}: {error}") from error


def holds(text: str, params: Mapping[str, Value]) -> bool:
    """Whether a condition is true; one that reads an inactive (absent) parameter is not."""
    try:
        return bool(evaluate(text, params))
    except KeyError:
        return False


def _value(node: ast.expr, params: Mapping[str, Value]) -> object:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return params[name]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value(element, params) for element in elements]
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, params), _value(right, params))
        case ast.Compare():
            return _compared(node, params)
    return _logical(node, params)


def _logical(node: ast.expr, params: Mapping[str, Value]) -> object:
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, params)
        case ast.UnaryOp(operand=operand):
            return operator.neg(_value(operand, params))  # type: ignore[arg-type]
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_value(value, params) for value in values)
        case ast.BoolOp(values=values):
            return any(_value(value, params) for value in values)
    raise ValueError(f"{ast.dump(node)} is not allowed")


def _compared(node: ast.Compare, params: Mapping[str, Value]) -> bool:
    left = _value(node.left, params)
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        right = _value(right_node, params)
        if not _COMPARE[type(op)](left, right):
            return False
        left = right
    return True
