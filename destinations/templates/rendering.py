"""Templates: Jinja2 in its sandbox, with bounded output. They are the operator's own; what they show is anybody's."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateSyntaxError, Undefined, pass_context
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from markupsafe import Markup

from destinations.templates.certain import certain_part
from destinations.templates.sandbox import Sandbox, TemplateFaultError
from pipeline.spans import span

NAMES = frozenset({"type", "timestamp", "job", "batch", "alert", "result", "result_encoding", "error", "failures"})
"""What templates see."""
OF_RESULTS = frozenset({"result", "result_encoding"})
"""Those of which nobody knows beforehand what stands there."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
LARGEST = 256 * 1024
"""The most characters that a template may make."""
__all__ = ["LARGEST", "NAMES", "OF_RESULTS", "TemplateFaultError", "compile_template", "render", "until"]


def until(begun: str, ended: str) -> str:
    """Return how long it is from one moment to another, both in RFC 3339, in words: the filter `until`."""
    return span((datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds())


def tojson(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON that people read, with its characters as they are: the filter `tojson`.

    Jinja2's own writes what HTML would take for markup as escapes of JSON; here HTML is escaped as all else is.
    """
    return json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=True, default=_no_json)


def compile_template(
    source: str, *, is_html: bool = False, is_json: bool = False, without: frozenset[str] = frozenset()
) -> Template:
    """Return a template; TemplateFaultError for bad syntax and for names that no template sees.

    In HTML values are escaped; in JSON they are written as JSON, texts without the quotes around them. What depends on
    one of the names `without` is left out, as `certain` does.
    """
    environment = _json_environment() if is_json else _environment(is_html=is_html)
    try:
        tree = environment.parse(source)
        unknown = find_undeclared_variables(tree) - NAMES - environment.globals.keys()
        if unknown:
            known = ", ".join(sorted(NAMES))
            raise TemplateFaultError(f"knows only {known}, not {', '.join(sorted(unknown))}")
        return environment.from_string(certain_part(tree, without) if without else source)
    except TemplateSyntaxError as error:
        message = f"expected a Jinja2 template, got an error in its line {error.lineno}: {error.message}"
        raise TemplateFaultError(message) from error


def _printable(value: Any) -> Any:
    # To its reader it is JSON, so nothing of it is written as Python would: null is nothing, and true is no name.
    if value is None:
        return ""
    if isinstance(value, bool | Mapping | list | tuple):
        value = _json(value)
    # What a function said may hold what steers a terminal.
    return _CONTROL.sub("", value) if type(value) is str else _said(value)


def _environment(*, is_html: bool = False) -> Sandbox:
    environment = Sandbox(autoescape=is_html, trim_blocks=True, lstrip_blocks=True, finalize=_printable)
    environment.filters["until"] = until
    environment.filters["tojson"] = tojson
    return environment


def _json_environment() -> Sandbox:
    environment = _environment(is_html=True)  # so that macros, blocks and `tojson` tell what is written already
    environment.finalize = _as_json
    environment.filters["tojson"] = lambda value, indent=None: Markup(tojson(value, indent))  # noqa: S704 - of JSON
    return environment


@pass_context  # without it constants would be escaped as HTML before they come here
def _as_json(_: Context, value: Any) -> Markup:
    if isinstance(value, Markup):
        return value
    value = _said(value)
    written = _json(value)
    return Markup(written[1:-1] if isinstance(value, str) else written)  # noqa: S704 - of JSON, and not of HTML


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=lambda each: str(_said(each)))


def _no_json(value: Any) -> NoReturn:
    raise TypeError(f"{type(_said(value)).__name__} is no value of JSON")


def _said(value: Any) -> Any:
    if isinstance(value, Undefined):
        return str(value)  # raises, unless it is of an `if` without an `else`
    if callable(value) and not isinstance(value, Mapping):
        name = getattr(value, "__name__", getattr(value, "name", "it"))
        raise TemplateFaultError(f"{name} is no value but what is called, as in {name}()")
    return value


def render(template: Template, seen: Mapping[str, Any]) -> str:
    """Return the template filled in; TemplateFaultError where that fails or makes more than LARGEST characters."""
    pieces, size = [], 0
    try:
        for piece in template.generate(seen):
            size += len(piece)
            if size > LARGEST:
                raise TemplateFaultError(f"makes more than {LARGEST} characters")
            pieces.append(piece)
        return "".join(pieces)
    except TemplateFaultError:
        raise
    except Exception as error:  # a template is a program: whatever it raises is its own fault
        raise TemplateFaultError(f"{type(error).__name__}: {error}") from error
