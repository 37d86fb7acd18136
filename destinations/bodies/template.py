"""The form `template`: whatever an operator's own template makes of a message. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from jinja2 import Template

from destinations.base import Sending
from destinations.bodies.base import JSON_TYPE, Body, Form
from destinations.bodies.seen import seen_by_templates
from destinations.templates.certain import candidates
from destinations.templates.rendering import OF_RESULTS, TemplateFaultError, compile_template, render
from pipeline import strictjson
from pipeline.errors import BadJsonError
from pipeline.values import is_json_type


@dataclass(frozen=True, slots=True)
class TemplateForm(Form):
    """One template; raises TemplateFaultError for one that is none. Its result may have any size, what it makes not."""

    name: ClassVar[str] = "template"
    source: str
    content_type: str = JSON_TYPE
    option: str = "body.template"
    """Where it is written."""
    template: Template = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Compile it."""
        compiled = compile_template(self.source, is_json=is_json_type(self.content_type))
        object.__setattr__(self, "template", compiled)

    @property
    def links_results(self) -> bool:
        """Say no: what it links is the template's own affair."""
        return False

    def is_heavy(self, sending: Sending, inline_limit: int, event: bytes) -> bool:
        """Say yes: a template is a program."""
        return True

    def make(self, sending: Sending, inline_limit: int, event: bytes) -> Body:
        """Return the template filled in."""
        return Body(content=self.fill(seen_by_templates(sending)), content_type=self.content_type)

    def fill(self, seen: Mapping[str, Any]) -> bytes:
        """Return the template filled in; TemplateFaultError where that fails, or makes no JSON where it must."""
        content = render(self.template, seen).encode()
        if fault := self._fault_of(content):
            raise fault
        return content

    def fill_certainly(self, seen: Mapping[str, Any]) -> None:
        """Fill in what depends on no result; TemplateFaultError where that fails, or with no result makes JSON."""
        is_json = is_json_type(self.content_type)
        text = render(compile_template(self.source, is_json=is_json, without=OF_RESULTS), seen)
        faults = [self._fault_of(each.encode()) for each in candidates(text)]
        if faults and faults[0] is not None and all(faults):
            raise faults[0]

    def _fault_of(self, content: bytes) -> TemplateFaultError | None:
        if is_json_type(self.content_type):
            try:
                strictjson.check(content)
            except BadJsonError as error:
                return TemplateFaultError(f"no JSON came of it, and its type is {self.content_type}: {error}")
        return None
