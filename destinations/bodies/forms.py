"""The table of forms, and how they are written in the YAML: a name, or a mapping where a form has options."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from destinations.base import Concern, End
from destinations.bodies import rehearsal
from destinations.bodies.base import JSON_TYPE, Form
from destinations.bodies.cloudevents import CloudEventsForm, Mode
from destinations.bodies.lambda_record import LambdaForm
from destinations.bodies.message import MESSAGE
from destinations.bodies.raw import RawForm
from destinations.bodies.template import TemplateForm
from destinations.bodies.thin import ThinForm
from destinations.templates.rendering import TemplateFaultError
from pipeline.config.files import found_instead

RAW, THIN, LAMBDA = RawForm(), ThinForm(), LambdaForm()
FORMS: Mapping[str, Form] = MappingProxyType(
    {form.name: form for form in (MESSAGE, RAW, THIN, LAMBDA, CloudEventsForm())}
)
"""The forms that need no options, by name; beside them there is `template`."""


def form_of(written: str | Mapping[str, Any] | Form) -> Form:
    """Return the form in a validated option `body`; ValueError for what cannot be used, with its place."""
    match written:
        case Form():
            return written
        case str():
            return FORMS[written]
        case {"cloudevents": options}:
            if "content_type" in written:
                raise ValueError("body.content_type: expected none, as it goes with a template: an event has its own")
            return CloudEventsForm(**{**options, "mode": Mode(options.get("mode", Mode.STRUCTURED))})
    return _template_of(written)


def _template_of(written: Mapping[str, Any]) -> TemplateForm:
    option = "template" if "template" in written else "template_file"
    source = written[option] if option == "template" else _read(written[option])
    try:
        form = TemplateForm(source, written.get("content_type", JSON_TYPE), f"body.{option}")
    except TemplateFaultError as fault:
        raise ValueError(f"body.{option}: {fault}") from None
    if said := rehearsal.fault_of_all(form.fill, form.fill_certainly):
        raise ValueError(f"body.{option}: {said}")
    return form


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no path that there could be
        raise ValueError(f"body.template_file: expected a template, got {found_instead(file, error)}") from None


def warn(form: Form, ends: frozenset[End]) -> Iterator[Concern]:
    """Yield for which of the ends that it is to tell of a template cannot be filled in."""
    if isinstance(form, TemplateForm):
        for sentence in rehearsal.sentences(form.fill, ends):
            yield form.option, sentence
