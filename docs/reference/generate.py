"""Writes the pages of this folder from the schemas and the route table: `make reference`.

The pages are committed, so that they can be read where they stand; a test makes them again and compares. What a value
must be is told in the words in which `sendoff check` tells it.
"""

import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from destinations.registry import builtin_kinds
from pipeline.config.words import expectation
from pipeline.metrics.table import METRICS
from pipeline.retry import NAMED_WAITS
from pipeline.web.openapi.components import SHAPES
from pipeline.web.openapi.document import document
from pipeline.web.parameters import LIMIT
from pipeline.web.routes import ROUTES
from schemas import load_schema

Schema = Mapping[str, Any]
Row = tuple[str, ...]

NOTE = "<!-- Made from the schemas by `make reference`: change those, not this page. -->"

HOW_IT_IS_WRITTEN = """
`sendoff serve` and `sendoff check` read `sendoff.yaml` of the current folder, or the file that `--config` names.
Every setting has a default; without any file the service runs on defaults alone.

- The file is YAML 1.2: `true` and `false` are the only booleans (`yes` and `on` are texts), `0777` is 777 (octal is
  `0o777`), and `12:30` is a text. A key that stands twice, a tag, a merge key (`<<`), `%YAML 1.1`, more than 64
  levels and more than 100,000 values (aliases count in full) are faults.
- `${NAME}` within a value is replaced with the environment variable NAME; one that is not set is a fault. `$${` is a
  literal `${`. Where a number or a boolean is wanted, the text from the environment becomes one. `--env-file FILE`
  adds the variables of a file with lines `NAME=value`; those of the environment win. They serve the configuration
  alone: a function sees none of them, unless its `env` names it.
- Relative paths start at the folder of the YAML file; those of the command line at the current folder. The command
  line wins.
- A key that is not known is a fault, so that no typing error passes for a default.
- `null` is the same as leaving a setting out, where its default is `null`.
- Secrets are never shown: not by `sendoff check`, not in logs, not in answers.

`sendoff check` tells every fault at once, as `file:line:column: setting: expected X, got Y`, and exits 78, as does
`sendoff serve`.
"""

VALUES = """
| Kind | Written | Units |
|---|---|---|
| duration | `500ms`, `0.5s`, `2m`, `1h`, `30d` | ms, s, m (minutes), h, d (24 h) |
| size | `128KiB`, `6MiB`, `1024MB` | B; KiB, MiB, GiB of 1024; KB, MB, GB of 1000 |
| rate | `50/s`, `30/m`, `0.5/h` | each second, minute or hour |
| path | `certs/ca.pem`, `/etc/ssl/ca.pem` | relative ones start at the YAML file |
| name | `archive`, `resize-background` | 1 to 64 letters, digits, `_` and `-` |
"""

RETRIES = """
A policy is written one way everywhere: a name (`retry: fast`), a list of waits (`retry: [1m, 2m]`; `[]` is no retry),
or a mapping with exactly one of `name`, `waits` and `exponential`, and with `max_age`:
"""

KEYS = "\n\nA list; how it is used: [give out keys](../how-to/give-out-keys.md)."

TARGETS = """
A list; each item is a destination's name, or `{to, when}`. A destination that is named twice gets one delivery, if
either filter matches.
"""

OF_METRICS = """
`GET /metrics` answers with these, in Prometheus' text format or as OpenMetrics, and with the `process_*` metrics that
every client of Prometheus has. Durations are in seconds, sizes in bytes. A histogram has `_bucket`, `_sum` and
`_count`; its buckets stand in brackets. Counters and histograms begin at 0 when the service starts; gauges are read
when they are asked for. Labels are names from the configuration and words of Sendoff's own, so that no caller can add
to their number. How to use them: [watch it](../how-to/watch-it.md).
"""

API = f"""
All bodies are JSON in UTF-8; errors are [problems](#problem). Moments are RFC 3339 in UTC, ids are UUIDs of version
7, which sort by time. Lists answer with a [list](#list) of the shape named here, newest first unless it says
otherwise, and take `limit` (1 to {LIMIT.most}, default
{LIMIT.default}) and `cursor`. Every `GET` answers `HEAD`, too.

A running service tells all this to programs at `GET /openapi.json`, an OpenAPI 3.1 document, from which this page is
made. Clients in many languages can be made from it; in Python, for example, by
`openapi-python-client generate --url http://127.0.0.1:8888/openapi.json`.
"""

ERRORS = """
Every error is a [problem](#problem). What else an operation may answer with stands there; these may come from any:
`401` and `403` where there are keys, `403` for a foreign Host or Origin, `500` and `503`.
"""

CALL = """
`/functions/{name}/{rest}` and `/.netlify/functions/{name}` are called in the same way; what `{rest}` is, is the
function's own affair.
"""


def configuration() -> str:
    """Return the page of all settings."""
    config = load_schema("config")
    page = _Settings(config)
    top, service, function = config["properties"], config["properties"]["service"], config["$defs"]["function"]
    retry = config["$defs"]["retry"]["anyOf"][2]
    parts = [
        "# Configuration",
        NOTE,
        HOW_IT_IS_WRITTEN,
        "## The store\n\n" + page.table({"store": top["store"]}),
        page.section("## `service`", service, leave_out=("retention",)),
        page.section("### `service.retention`", service["properties"]["retention"]),
        page.section("## `keys`", {**config["$defs"]["key"], "description": top["keys"]["description"] + KEYS}),
        page.section("## `functions`", top["functions"], leave_out=("settings",)),
        page.section("### `functions.settings.NAME`", function),
        "### Where messages go\n" + TARGETS + "\n" + page.table(config["$defs"]["target"]["properties"], ("to",)),
        "## `destinations`\n\n" + top["destinations"]["description"],
        *(page.kind(name) for name in builtin_kinds()),
        "## Alerts\n\n" + page.table({"alerts": top["alerts"]}),
        "## Retry policies\n" + RETRIES + "\n" + page.table(retry["properties"]),
        "### Waits that grow\n\n" + page.table(config["$defs"]["exponential"]["properties"], ("base",)),
        "### Policies with a name\n\n" + _policies(),
        page.section("## Breakers", config["$defs"]["breaker"]),
        "## Durations, sizes, rates and paths\n" + VALUES,
    ]
    return _page(parts)


def api() -> str:
    """Return the page of all routes, and of all shapes that go in and out."""
    told = _OPERATIONS(document(ROUTES, "http://127.0.0.1:8888", has_keys=True))
    parts = [
        "# API",
        NOTE,
        "## Routes\n" + API + "\n" + _routes(),
        "## Operations\n" + CALL,
        *(_operation(*section) for section in told.sections()),
        "## Errors\n" + ERRORS + "\n" + _table(("Status", "What it means"), told.errors()),
        *(_shape(name) for name in (*SHAPES, "list")),
        "## What a function is called with\n\n" + _shape("event", level=3),
        "## What destinations send\n\n" + _shape("message", level=3),
        *(_shape(name, level=3) for name in ("thin-message", "lambda-record", "cloudevent")),
    ]
    return _page(parts)


def metrics() -> str:
    """Return the page of all metrics."""
    rows = (
        (
            f"`{metric.name}`",
            metric.kind + (f" ({', '.join(f'{bound:g}' for bound in metric.buckets)})" if metric.buckets else ""),
            ", ".join(f"`{label}`" for label in metric.labels) or "none",
            f"{metric.help}.",
        )
        for metric in METRICS.values()
    )
    table = _table(("Metric", "Kind", "Labels", "What it says"), rows)
    return _page(["# Metrics", NOTE.replace("the schemas", "`pipeline/metrics/table.py`"), OF_METRICS, table])


PAGES = {"configuration.md": configuration, "api.md": api, "metrics.md": metrics}


def _page(parts: list[str]) -> str:
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)


def _code(value: Any) -> str:
    """Write a default as YAML writes it in one line; texts without quotes."""
    match value:
        case str():
            return value
        case list():
            return f"[{', '.join(map(_code, value))}]"
        case dict() if value:
            return f"{{{', '.join(f'{key}: {_code(each)}' for key, each in value.items())}}}"
    return orjson.dumps(value).decode()


class _Settings:
    """Tables of settings; `$ref` is followed within the configuration's schema."""

    def __init__(self, config: Schema) -> None:
        self._definitions = config["$defs"]

    def _target(self, schema: Schema) -> Any:
        return self._definitions[schema["$ref"].removeprefix("#/$defs/")]

    def section(self, heading: str, schema: Schema, leave_out: tuple[str, ...] = ()) -> str:
        """Return a heading, what the schema says of itself, and the table of its settings."""
        shown = {name: each for name, each in schema["properties"].items() if name not in leave_out}
        return f"{heading}\n\n{schema['description']}\n\n{self.table(shown, schema.get('required', ()))}"

    def kind(self, name: str) -> str:
        """Return the section of a kind of destination."""
        how_to = f"configure-{'an' if name[0] in 'aeiou' else 'a'}-{name}"
        link = f"[{how_to.replace('-', ' ')}](../how-to/{how_to}.md)"
        return self.section(f"### `type: {name}`", load_schema(name)) + f"\n\nHow to: {link}."

    def table(self, settings: Mapping[str, Schema], required: tuple[str, ...] = ()) -> str:
        """Return one row for each setting."""
        return _table(("Setting", "Value", "Default", "What it is"), self._rows(settings, required))

    def _rows(self, settings: Mapping[str, Schema], required: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, schema in settings.items():
            default = f"`{_code(schema['default'])}`" if "default" in schema else "none"
            shown = "required" if name in required else default
            yield f"`{name}`", self._value(schema), shown, schema["description"]
            of_items = ((f"{name}[]", branch) for branch in schema.get("items", {}).get("anyOf", ()))
            for prefix, branch in (*of_items, *((name, branch) for branch in (schema, *schema.get("anyOf", ())))):
                inner = {f"{prefix}.{key}": each for key, each in branch.get("properties", {}).items()}
                yield from self._rows(inner, tuple(f"{prefix}.{key}" for key in branch.get("required", ())))

    def _value(self, schema: Schema) -> str:
        """Say what is expected, in the words of a fault."""
        match schema:
            case {"$ref": "#/$defs/retry"}:
                return "a [retry policy](#retry-policies)"
            case {"$ref": "#/$defs/breaker"}:
                return "a [breaker](#breakers)"
            case {"$ref": "#/$defs/targets"}:
                return "a list of [destinations](#where-messages-go)"
            case {"enum": choices}:
                return ", ".join(f"`{_code(choice)}`" for choice in choices if choice is not None)
            case {"type": "array", "items": items} if "x-expected" not in schema:
                return f"a list, each {self._value(items)}"
            case {"additionalProperties": {"type": "string"}}:
                return "a mapping of names to texts"
        path = " (a path)" if schema.get("x-path") == "file" else ""
        secret = " (a secret)" if schema.get("x-secret") else ""
        return expectation(schema, self._target).replace("<", "\\<") + path + secret  # "<a@b>" would be a link


def _policies() -> str:
    rows = (
        (f"`{name}`", str(len(waits) + 1), ", ".join(map(_duration, waits)), _duration(sum(waits)))
        for name, waits in NAMED_WAITS.items()
    )
    return _table(("Name", "Tries", "Waits", "In all"), rows)


def _duration(seconds: float) -> str:
    parts = []
    for unit, length in (("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(int(seconds), length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts)


_OPERATIONS = runpy.run_path(str(Path(__file__).with_name("operations.py")))["Operations"]


def _operation(heading: str, words: str, parameters: Iterator[Row], answers: Iterator[Row], examples: list[Any]) -> str:
    taken = list(parameters)
    tables = [_table(("Parameter", "In", "Value", "What it is"), iter(taken))] if taken else []
    tables.append(_table(("Status", "Body", "Headers", "What it means"), answers))
    sent = [f"Sent, for example:\n{_example(example)}" for example in examples]
    return "\n\n".join([f"### {heading}", words, *tables, *sent])


def _routes() -> str:
    paths: dict[tuple[str, Any, str], list[str]] = {}
    for method, path, handler, policy in ROUTES:
        paths.setdefault((method, handler, policy.who), []).append(f"`{path.replace('{rest:.*}', '{rest}')}`")
    rows = (
        ("any" if method == "*" else f"`{method}`", ", ".join(found), _answer(handler.__doc__ or ""), who)
        for (method, handler, who), found in paths.items()
    )
    return _table(("Method", "Path", "What it answers with", "Who, once there are keys"), rows)


def _answer(docstring: str) -> str:
    """Return what a handler's first sentence says behind its route: `Answer GET /v1/jobs: all jobs, ...`."""
    sentence = " ".join(docstring.partition("\n\n")[0].split()).removeprefix("Answer ")
    said = sentence.partition(": ")[2] or sentence
    return said[:1].upper() + said[1:]


def _shape(name: str, level: int = 2) -> str:
    schema = load_schema(name)
    heading = f"{'#' * level} {schema['title']}"
    rows = _fields(schema, schema, "")
    source = f"[`schemas/{name}.schema.json`](../../schemas/{name}.schema.json)"
    table = _table(("Field", "Type", "What it is"), rows)
    examples = "".join(f"\n{_example(example)}" for example in schema.get("examples", ()))
    return f"{heading}\n\n{schema['description']} The schema: {source}.\n\n{table}{examples}"


def _example(value: Any) -> str:
    if isinstance(value, str):
        return f"\n```text\n{value.strip()}\n```"
    return f"\n```json\n{orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()}\n```"


def _fields(schema: Schema, root: Schema, prefix: str) -> Iterator[tuple[str, ...]]:
    for name, field in schema["properties"].items():
        there = "" if name in schema.get("required", ()) else " Not always there."
        yield f"`{prefix}{name}`", _type(field, root), (field.get("description", "") + there).strip()
        inner = _resolved(field, root)
        items = inner.get("items", {})
        if "properties" in inner:
            yield from _fields(inner, root, f"{prefix}{name}.")
        elif "properties" in items:
            yield from _fields(items, root, f"{prefix}{name}[].")


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Follow `$ref`, also where it stands beside null."""
    for branch in (schema, *schema.get("anyOf", ())):
        if "$ref" in branch:
            found: Schema = root["$defs"][branch["$ref"].removeprefix("#/$defs/")]
            return found
    return schema


def _type(schema: Schema, root: Schema) -> str:
    match schema:
        case {"$ref": reference}:
            name = str(reference).removeprefix("#/$defs/")
            if name == "when":
                return "moment or span"
            return name if name in {"moment", "id"} else _type(_resolved(schema, root), root)
        case {"anyOf": branches}:
            return " or ".join(_type(branch, root) for branch in branches)
        case {"enum": choices}:
            return ", ".join(f"`{_code(choice)}`" for choice in choices)
        case {"type": "array", "items": items}:
            return f"array of {_type(items, root)}"
        case {"type": "object", "additionalProperties": {"type": _} as values}:
            return f"object of {_type(values, root)}"
    types = schema.get("type", "any JSON")
    shown = types if isinstance(types, str) else " or ".join(types)
    return shown.replace("string", "URL") if schema.get("format") == "uri" else shown


def main() -> None:
    """Write all pages into the folder that is named, or this one."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, make in PAGES.items():
        (folder / name).write_text(make(), "utf-8")


if __name__ == "__main__":
    main()
