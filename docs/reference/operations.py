"""What the page of the API says of each operation: made from the OpenAPI document by `generate.py`."""

from collections.abc import Iterator, Mapping
from typing import Any

Told = Mapping[str, Any]
Rows = Iterator[tuple[str, ...]]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_SCHEMAS = "#/components/schemas/"
_ANYWHERE = {"401", "403", "500", "503"}


class Operations:
    """The operations of a document, a section each; those that any method is for have one together."""

    def __init__(self, document: Told) -> None:
        self._document = document
        self._schemas: Told = document["components"]["schemas"]

    def sections(self) -> Iterator[tuple[str, str, Rows, Rows, list[Any]]]:
        """Yield for each operation its heading, its words, the rows of its parameters and of its answers, and examples
        of what is sent.
        """
        for path, item in self._document["paths"].items():
            if path.startswith("/.netlify/") or "{rest}" in path:
                continue  # they are those of `/functions/{name}`
            methods = [method for method in _METHODS if method in item]
            told = item["post" if len(methods) > 1 and "functions" in path else methods[0]]
            if "functions/{name}" in path:
                yield self._section(f"Any method `{path}`", item, told)
                continue
            for method in methods:
                yield self._section(f"`{method.upper()} {path}`", item, item[method])

    def errors(self) -> Rows:
        """Yield what each status of a problem means."""
        meanings = {
            name.removeprefix("Problem").removeprefix("Function"): told["description"].partition(". ")[2]
            for name, told in self._document["components"]["responses"].items()
            if "application/problem+json" in told.get("content", ())
        }
        yield from ((f"`{status}`", meanings[status]) for status in sorted(meanings))

    def _section(self, heading: str, item: Told, told: Told) -> tuple[str, str, Rows, Rows, list[Any]]:
        words = f"{told['summary']} {told.get('description', '')}".strip()
        parameters = [*item.get("parameters", ()), *told.get("parameters", ())]
        body = told.get("requestBody", {"content": {}})
        examples = [content["example"] for content in body["content"].values() if "example" in content]
        return heading, words, self._parameters(parameters, body), self._answers(told["responses"]), examples

    def _parameters(self, parameters: list[Told], body: Told) -> Rows:
        for each in parameters:
            if each["in"] != "path":
                yield f"`{each['name']}`", each["in"], _value(each["schema"]), each["description"]
        for media_type, content in body["content"].items():
            schema = content["schema"]
            kinds = {"application/x-ndjson": "lines", "multipart/form-data": "files"}
            shape = self._shape(schema) or kinds.get(media_type, "anything")
            yield f"`{media_type}`", "body", shape, schema.get("description", "The body.")

    def _answers(self, responses: Told) -> Rows:
        for status, told in responses.items():
            answer = self._resolved(told)
            content = answer.get("content", {})
            if "application/problem+json" in content and "application/json" not in content:
                continue
            shown = [self._body(media_type, each["schema"]) for media_type, each in content.items()]
            headers = ", ".join(f"`{name}`" for name in answer.get("headers", ()))
            written = "any other" if status == "default" else f"`{status}`"
            yield written, " or ".join(filter(None, shown)) or "none", headers or "none", answer["description"]
        problems = [
            f"`{status}`"
            for status, told in responses.items()
            if status not in _ANYWHERE and "application/problem+json" in self._resolved(told).get("content", {})
        ]
        if problems:
            yield ", ".join(problems), "[Problem](#problem)", "none", "See [errors](#errors)."

    def _resolved(self, told: Told) -> Told:
        reference = str(told.get("$ref", ""))
        return self._document["components"]["responses"][reference.rpartition("/")[2]] if reference else told

    def _body(self, media_type: str, schema: Told) -> str:
        if schema.get("maxLength") == 0:
            return ""
        shape = self._shape(schema)
        return shape if media_type == "application/json" else f"`{media_type}`" + (f" of {shape}" if shape else "")

    def _shape(self, schema: Told) -> str:
        """Name the shape of a body, with a link to where it stands."""
        for branch in (schema, *schema.get("anyOf", ())):
            name = str(branch.get("$ref", "")).removeprefix(_SCHEMAS)
            if not name:
                continue
            if name.endswith("Page"):
                return f"[list](#list) of {self._shape(self._schemas[name]['properties']['items']['items'])}"
            if name.endswith("Event"):
                return "events"
            title = str(self._schemas[name]["title"]).removesuffix(" with its attempts")
            anchor = "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter == "-")
            return f"[{title}](#{anchor})"
        return "JSON" if "properties" in schema or schema == {"type": "object"} else ""


def _value(schema: Told) -> str:
    default = f"; `{schema['default']}` without it" if "default" in schema else ""
    match schema:
        case {"enum": words}:
            return ", ".join(f"`{word}`" for word in words) + default
        case {"type": "integer"}:
            return f"{schema['minimum']:,} to {schema['maximum']:,}{default}"
        case {"format": "date-time"}:
            return "a moment"
        case {"anyOf": [{"format": "date-time"}, {"pattern": _}]}:
            return "a moment, or a span such as `24h`"
        case {"format": "date"}:
            return "a day"
        case {"format": "uuid"}:
            return "an id"
    return "a text"
