"""What of a template comes out the same whatever stands at some of its names, such as a result not known yet. Pure.

Nothing is judged that may depend on them: scopes are not followed, a name that depends once does so everywhere.
"""

from collections.abc import Iterable, Iterator
from itertools import count

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

VALUE = "\ue000"
"""Stands where a value that depends on the names is written."""
ANYTHING = "\ue001"
"""Stands where any text may come of them, or none."""

_NOBODY_S = 2_718_281_828_459_001  # no key that a template has by itself
_PATHS = (nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Const, nodes.Filter, nodes.Keyword)
# Filters of which comes a value, and no text that would be written as it is.
_FILTERS = frozenset(
    {"abs", "capitalize", "count", "d", "default", "first", "float", "int", "join", "last", "length", "lower", "map"}
    | {"max", "min", "replace", "round", "string", "sum", "title", "tojson", "trim", "truncate", "upper"}
)


def certain_part(tree: nodes.Template, names: frozenset[str]) -> nodes.Template:
    """Return a template without what depends on `names`, whose places are VALUE or ANYTHING; `tree` is used up."""
    depending = _depending(tree, names)
    parted: nodes.Template = _Parting(depending, is_rebound=not names.isdisjoint(_bound(tree))).visit(tree)
    return parted


def candidates(text: str) -> tuple[str, ...]:
    """Return what a text with VALUE may be, in the forms that fit where a value can stand at all; none with ANYTHING.

    The values differ, as keys of one object must.
    """
    if ANYTHING in text:
        return ()
    first, *others = text.split(VALUE)
    numbered = "".join([first, *(f"{number}{other}" for number, other in zip(count(_NOBODY_S), others, strict=False))])
    return numbered, text.replace(VALUE, "")


def _depending(tree: nodes.Template, names: frozenset[str]) -> frozenset[str]:
    # What a macro sets may be set by a call that is left out.
    found = names | {ref.name for macro in tree.find_all(nodes.Macro) for ref in macro.find_all(nodes.NSRef)}
    while True:
        more = {
            name
            for statement in tree.find_all(nodes.Stmt)
            if not isinstance(statement, nodes.Output) and _depend(_deciding(statement), found)
            for name in _bound(statement)
        }
        if more <= found:
            return found
        found |= more


def _deciding(statement: nodes.Node) -> list[nodes.Node]:
    """Return what decides on all that a statement does; of other statements than these it is all that they hold."""
    match statement:
        case nodes.If():
            return [statement.test, *(each.test for each in statement.elif_)]
        case nodes.For():
            return [statement.iter, *([statement.test] if statement.test else [])]
    return [statement]


def _depend(parts: Iterable[nodes.Node], names: frozenset[str]) -> bool:
    return any(
        each.name in names for part in parts for each in _all(part) if isinstance(each, nodes.Name | nodes.NSRef)
    )


def _bound(node: nodes.Node) -> Iterator[str]:
    for each in _all(node):
        match each:
            case nodes.Name(ctx="store" | "param") | nodes.NSRef() | nodes.Macro():
                yield each.name
            case nodes.Block():
                yield "self"


def _all(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    yield from node.find_all(nodes.Node)


class _Parting(NodeTransformer):
    def __init__(self, depending: frozenset[str], *, is_rebound: bool) -> None:
        self._depending = depending
        self._is_rebound = is_rebound

    def generic_visit(self, node: nodes.Node) -> nodes.Node:
        """Go into what is decided on without the names, and leave out what is not."""
        if isinstance(node, nodes.Template):
            return super().generic_visit(node)
        if not isinstance(node, nodes.Stmt):
            return node
        if _depend(_deciding(node), self._depending):
            return nodes.Output([_written(ANYTHING, node)], lineno=node.lineno, environment=node.environment)
        return super().generic_visit(node) if isinstance(node, nodes.If | nodes.For) else node

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802 - as Jinja2 has it
        """Leave out the expressions that depend on the names."""
        node.nodes = [
            _written(VALUE if self._is_value(each) else ANYTHING, each) if _depend([each], self._depending) else each
            for each in node.nodes
        ]
        return node

    def _is_value(self, expression: nodes.Node) -> bool:
        # Of other names than those themselves it may be any text, but what makes them depend is left out as that.
        return not self._is_rebound and all(
            isinstance(each, _PATHS) and not (isinstance(each, nodes.Filter) and each.name not in _FILTERS)
            for each in _all(expression)
        )


def _written(text: str, where: nodes.Node) -> nodes.TemplateData:
    return nodes.TemplateData(text, lineno=where.lineno, environment=where.environment)
