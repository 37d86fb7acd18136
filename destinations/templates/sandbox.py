"""The sandbox of templates: Jinja2's own, in which a dot asks for a key of JSON before Python's methods."""

from collections.abc import Callable
from typing import Any

from jinja2 import StrictUndefined, Undefined
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import object_type_repr


class TemplateFaultError(Exception):
    """A template cannot be read, or not be filled in; the message is for its author."""


class _Method(StrictUndefined):
    """A method where a key was asked for: it can be called, and is undefined for all else."""

    __slots__ = ("method",)
    method: Callable[..., Any]


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox for values of JSON: `result.items` is the key `items`, which a method of that name would hide.

    Methods can be called, such as `result.items()` where there is no such key, but are no values.
    """

    def __init__(self, **options: Any) -> None:
        """Take the options of Jinja2; what is not there is a fault."""
        super().__init__(undefined=StrictUndefined, **options)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return the key of a mapping, and only where there is none the attribute."""
        if isinstance(obj, dict):
            try:
                return obj[attribute]
            except KeyError:
                pass
        found = super().getattr(obj, attribute)
        if not _is_called(found):
            return found
        kind = object_type_repr(obj)
        said = f"{kind!r} has no key {attribute!r}, but a method of Python's of that name, which is no value"
        remedy = f'a key is written result["{attribute}"], and one that may be missing with | default("")'
        method = _Method(f"{said}: {remedy}", obj, attribute)
        method.method = found
        return method

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return the item, or the attribute as Jinja2 does, but no method."""
        found = super().getitem(obj, argument)
        return self.undefined(obj=obj, name=argument) if isinstance(argument, str) and _is_called(found) else found

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - Jinja2's
        """Call what can be called in the sandbox."""
        called = __obj.method if isinstance(__obj, _Method) else __obj
        return super().call(__context, called, *args, **kwargs)


def _is_called(found: Any) -> bool:
    # Undefined values, and results of which nothing is known yet, can be called, too.
    return callable(found) and not isinstance(found, Undefined | dict)
