"""The form `template`: what is written as JSON, what cannot be filled in, and what is told of it beforehand."""

import re
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destinations.bodies.forms import form_of, warn
from destinations.bodies.template import TemplateForm
from destinations.templates.rendering import LARGEST, TemplateFaultError
from pipeline.config.files import found_instead
from pipeline.model import BatchState, JobState
from tests.support.messages import COMPLETED, EXPIRED, FAILED, JOB, SUCCEEDED, TEST, body_of, signed, with_result


def filled(source: str, body: bytes = b'{"words": 12}', content_type: str = "application/json") -> str:
    message = with_result(body, "application/json")
    return body_of(message, TemplateForm(source, content_type)).content.decode()


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ('{"n": {{ result.words }}}', {"n": 12}),
        ('{"n": "{{ result.words }} words"}', {"n": "12 words"}),
        ('{"a": {{ job.parent_id }}, "b": {{ result }}, "c": {{ true }}, "d": {{ none }}}',
         {"a": None, "b": {"words": 12}, "c": True, "d": None}),
        ('{"a": {{ job.tags }}, "b": {{ job.id | tojson }}}', {"a": ["invoices", "März"], "b": JOB}),
        ('{"a": "{{ job.function ~ \'"\' }}", "b": "{{ "<&>\'" }}"}', {"a": 'extract-background"', "b": "<&>'"}),
        ('{% macro item(x) %}{"x": "{{ x }}"}{% endmacro %}[{{ item(\'a"b\') }}]', [{"x": 'a"b'}]),
        ('{% set x %}"{{ job.state }}"{% endset %}[{{ x }}]', ["succeeded"]),
        ('[{% for tag in job.tags %}"{{ tag | upper }}"{{ "," if not loop.last }}{% endfor %}]', ["INVOICES", "MÄRZ"]),
        ('"{{ "%s: %d" | format(job.state, result.words) }}"', "succeeded: 12"),
        ('"{{ job.tags | join("\n") }}"', "invoices\nMärz"),
        ('"{{ job.created_at | until(job.ended_at) }}"', "3.0 s"),
    ],
)  # fmt: skip
def test_in_json_every_value_is_written_as_json(source: str, made: object) -> None:
    assert orjson.loads(filled(source)) == made


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_of_a_function_breaks_json(text: str) -> None:
    made = orjson.loads(filled('{"text": "{{ result }}", "more": {{ result | tojson }}}', orjson.dumps(text)))
    assert made == {"text": text, "more": text}


def test_tojson_writes_characters_as_they_are_and_refuses_what_is_no_json() -> None:
    for content_type in ("application/json", "text/plain"):
        assert filled("[{{ result | tojson }}]", '"O\'Söhne & <b>"'.encode(), content_type) == '["O\'Söhne & <b>"]'
        for source, fault in (
            ("{{ range | tojson }}", "range is no value but what is called"),
            ("{{ (result | items) | tojson }}", "TypeError: generator is no value of JSON"),
            ("{{ result.nope | tojson }}", "no attribute 'nope'"),
        ):
            with pytest.raises(TemplateFaultError, match=fault):
                filled(source, content_type=content_type)


def test_in_other_types_values_stand_as_they_are_but_for_what_steers_a_terminal() -> None:
    assert filled('{{ result }} "{{ job.tags[0] }}"', b'"<a> \\u001b\\"b\\""', "text/plain") == '<a> "b" "invoices"'


@pytest.mark.parametrize("content_type", ["application/json", "application/vnd.api+json; charset=utf-8"])
@pytest.mark.parametrize("source", ['{"a": {{ job.id }}}', "{", '{"a": 1, "a": 2}', "{{ '' }}"])
def test_what_must_be_json_and_is_not_says_so_with_its_place(content_type: str, source: str) -> None:
    with pytest.raises(TemplateFaultError, match=rf"^no JSON came of it.* {content_type[:15]}.* at line \d"):
        filled(source, content_type=content_type)
    filled(source, content_type="text/plain")  # of another type it may be anything


def test_what_templates_see_is_what_a_message_says_with_links_that_can_be_followed() -> None:
    source = '["{{ type }}", {{ job.links.result if job else batch.links.results }}, {{ failures | length }}]'
    quoted = source.replace("{{ job.links.result if job else batch.links.results }}",
                            '"{{ job.links.result if job else batch.links.results }}"')  # fmt: skip
    form = TemplateForm(quoted)
    assert [orjson.loads(body_of(each, form, link=signed).content)[:2] for each in (SUCCEEDED, TEST)] == [
        [kind, f"https://sendoff.example/v1/jobs/{JOB}/result?sig=v1"] for kind in ("job.succeeded", "webhook.test")
    ]
    kind, link, failures = orjson.loads(body_of(COMPLETED, form, link=signed).content)
    assert (kind, link.endswith("/results?sig=v1"), failures) == ("batch.completed", True, 1)


def test_a_result_of_any_size_is_seen_and_what_is_made_is_bounded() -> None:
    large = orjson.dumps({"words": "x" * LARGEST, "n": 1})
    assert filled("[{{ result.n }}]", large) == "[1]"
    with pytest.raises(TemplateFaultError, match=f"makes more than {LARGEST} characters"):
        filled("{{ result }}", large)


def test_what_is_not_there_is_a_fault() -> None:
    for source in ("[{{ result.nope }}]", '"{{ result.nope }}"'):
        with pytest.raises(TemplateFaultError, match="UndefinedError: 'dict object' has no attribute 'nope'"):
            filled(source)


# Keys and methods


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{{ result.items }}", [1]),
        ('{{ result["items"] }}', [1]),
        ("{{ result.copy.keys }}", {"a": "b"}),
        ("{{ result.copy.keys.items() | list }}", [["a", "b"]]),
        ("{{ result.copy.values() | list | length }}", 1),
        ("[{% for key in result %}\"{{ key }}\"{{ ',' if not loop.last }}{% endfor %}]", ["items", "copy"]),
        ('{{ result.copy.pop | default("none") | tojson }}', "none"),
        ("{{ result.copy.values is defined }}", False),
        ("\"{{ 'a-%s' | format(result['items'][0]) }}{{ '{}'.format(2) }}\"", "a-12"),
    ],
)
def test_a_dot_asks_for_the_key_and_a_method_can_only_be_called(source: str, made: object) -> None:
    body = b'{"items": [1], "copy": {"keys": {"a": "b"}}}'
    assert orjson.loads(filled(source, body)) == made
    assert body_of(with_result(body, "application/json"), TemplateForm(f"{source} ", "text/plain")).content


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("{{ result.items }}", "'dict object' has no key 'items', but a method of Python's of that name, which is no "),
        ("{{ result.items }}", 'a key is written result["items"], and one that may be missing with | default("")'),
        ('{{ result["items"] }}', "'dict object' has no attribute 'items'"),
        ("{{ [result.items] }}", "'dict object' has no key 'items'"),
        ("{% for each in result.items %}{% endfor %}", "'dict object' has no key 'items'"),
        ("{{ 1 if result.items else 2 }}", "'dict object' has no key 'items'"),
        ("{{ result.name.title }}", "'str object' has no key 'title'"),
        ("{{ job.tags.count }}", "'list object' has no key 'count'"),
        ("{{ range }}", "range is no value but what is called, as in "),
        ("{% macro line() %}1{% endmacro %}{{ line }}", "line is no value but what is called"),
    ],
)
def test_a_method_that_would_be_printed_is_a_fault(content_type: str, source: str, fault: str) -> None:
    with pytest.raises(TemplateFaultError, match=re.escape(fault)):
        filled(source, b'{"name": "a"}', content_type)


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{{ job.parent_id }}", ""),
        ("{{ result.nothing }}|{{ result.yes }}|{{ result.list }}", '|true|[null, "ä", {"a": false}]'),
        ("{{ result.number }} {{ result.text }}", "1.5 None"),
        ("{{ result.nothing is none }}", "true"),
    ],
)
def test_in_a_text_nothing_is_written_as_python_would(source: str, made: str) -> None:
    body = '{"nothing": null, "yes": true, "list": [null, "ä", {"a": false}], "number": 1.5, "text": "None"}'
    assert filled(source, body.encode(), "text/plain") == made


# What is told beforehand


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{% if %}", "expected a Jinja2 template, got an error in its line 1: Expected an expression"),
        ("[\n{{ job.id }", "expected a Jinja2 template, got an error in its line 2: unexpected '}'"),
        (
            "[{{ jobs.id }}]",
            "knows only alert, batch, error, failures, job, result, result_encoding, timestamp, type, not jobs",
        ),
        ("[{{ job.nope }}]", "expected a template that can be filled in, got UndefinedError: 'dict object' has no"),
        (
            "[{{ job.id }}]",
            "expected a template that can be filled in, got no JSON came of it, and its type",
        ),
        ("text", "expected a template that can be filled in, got no JSON came of it"),
        ('{"a": "{{ result.x }}", "d": {{ job.nothing }}}', "'dict object' has no attribute 'nothing'"),
        ('{"a": "{{ result.x }}", "d": }', "got no JSON came of it"),
        ('{"a": {{ result.x | tojson }}, "a": {{ result[0].y | upper }}}', "got no JSON came of it"),
        ("{% for tag in job.tags %}{{ result.x }}{{ tag }}{% endfor %}", "got no JSON came of it"),
        ('{% set x = result.y %}{% if x %}"{{ x }}"{% endif %}{{ job.nothing }}', "no attribute 'nothing'"),
        ("{% for row in result.rows %}{{ row }}{% endfor %}{% if job.nothing %}1{% endif %}", "attribute 'nothing'"),
    ],
)
def test_a_template_that_serves_no_message_is_a_fault_with_its_place(tmp_path: Path, template: str, fault: str) -> None:
    with pytest.raises(ValueError, match=r"^body\.template: ") as raised:
        form_of({"template": template})
    assert fault in str(raised.value)
    file = tmp_path / "body.j2"
    file.write_text(template)
    with pytest.raises(ValueError, match=r"^body\.template_file: ") as raised:
        form_of({"template_file": file})
    assert fault in str(raised.value)


@pytest.mark.parametrize(
    "template",
    [
        '{% if result.kind == "a" %}{{ job.nothing }}{% else %}[]{% endif %}',
        '{% if type == "a" %}[]{% elif result.a == 1 %}[]{% else %}{{ job.nothing }}{% endif %}',
        '{% set bad = result.n == 5 %}{{ job.nothing if bad and result.n != 5 else "[]" }}',
        "{% set n = namespace(x=1) %}{% for r in result.r %}{% set n.x = 0 %}{% endfor %}{{ job.nothing if n.x }}",
        "{% set n = namespace(x=1) %}{% macro m(r) %}{% set n.x = 0 %}{% endmacro %}{{ m(result) }}{{ job.no if n.x }}",
        '{% macro row(x) %}"{{ x }}"{% endmacro %}[{{ row(result.x[0].y) }}]',
        '[1{{ "," if result.more }}{{ result.more }}]',
        '{ {{ result.pairs | safe }}, "z": 1 }',
        '{% set pairs = result.pairs | safe %}{ {{ pairs }}, "z": 1 }',
        '{% for each in [result.pairs | safe] %}{ {{ each }}, "z": 1 }{% endfor %}',
        '{% for result in ["a"] %}{ {{ result | tojson }}: 1 }{% endfor %}',
        '{"{{ result.a }}": 1, "{{ result.b }}": 2, "": {{ result.n }}}',
        '{"a": {{ result.whole }}.5, "b": -{{ result.n | round(1) }}, "c": 1{{ result.zeros }}}',
        "{{ dict(result)['a'] }}",
        '["{{ error.errorMessage }}", {{ result.n }}]',
        "[{{ result.items[0].name | tojson if result_encoding else result['a'].strip() }}]",
        "{% block a %}{{ result.x.y.z + 'a' }}{% endblock %}{{ self.a() }}",
        "{% call(x) result.walk() %}{{ job.nothing }}{% endcall %}",
        "{% filter upper %}{{ result.x / 'a' }}{% endfilter %}",
    ],
)
def test_what_a_result_may_mend_is_no_fault(template: str) -> None:
    form_of({"template": template})


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xff")
    for file, found in (
        (tmp_path / "nope", "none: there is no "),
        (tmp_path / "latin" / "a.j2", "none: there is no "),
        (tmp_path / "latin", "one that is not in UTF-8: "),
        (tmp_path, "a folder: "),
    ):
        with pytest.raises(ValueError, match=r".") as raised:
            form_of({"template_file": file})
        assert str(raised.value) == f"body.template_file: expected a template, got {found}{file}"


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (PermissionError(13, "Permission denied"), "one that this user may not read: /a/b"),
        (OSError(5, "Input/output error"), "one that cannot be read (Input/output error): /a/b"),
    ],
)
def test_files_that_no_test_can_have_are_told_of_too(error: OSError, found: str) -> None:
    assert found_instead(Path("/a/b"), error) == found


def test_a_file_is_read_when_settings_are_made(tmp_path: Path) -> None:
    file = tmp_path / "body.j2"
    file.write_text("[1]")
    before = form_of({"template_file": file})
    assert body_of(SUCCEEDED, before).content == b"[1]"
    file.write_text("[2]")
    after = form_of({"template_file": file})
    assert after != before
    assert [body_of(SUCCEEDED, form).content for form in (before, after)] == [b"[1]", b"[2]"]


def test_only_the_ends_that_come_and_cannot_be_told_are_warned_of() -> None:
    form = form_of({"template": '{"text": "{{ error.errorMessage }}"}'})
    assert body_of(FAILED, form).content == '{"text": "no text in “page 3”"}'.encode()
    with pytest.raises(TemplateFaultError):
        body_of(EXPIRED, form)
    for ends, expected in (
        ({JobState.FAILED}, 0),
        ({JobState.FAILED, JobState.EXPIRED}, 1),
        ({JobState.SUCCEEDED, BatchState.COMPLETED}, 2),
        (set(), 0),
    ):
        found = list(warn(form, frozenset(ends)))
        assert len(found) == expected
        assert all(option == "body.template" and "cannot be filled in for a " in said for option, said in found)
    assert list(warn(form_of("thin"), frozenset(JobState))) == []


@pytest.mark.parametrize(
    "template",
    [
        "[{{ result.title | tojson }}]",
        '{"text": "{{ result.title }}"}',
        '{"a": {{ result }}, "b": {{ result.n }}}',
        "[{% for key, value in result.items() %}{{ value }}{% endfor %}]",
        "[{% for item in result.items %}{{ item.n }}{% endfor %}, {{ result.items }}]",
    ],
)
def test_what_depends_on_a_result_is_not_held_against_its_template(template: str) -> None:
    form = form_of({"template": template})
    assert list(warn(form, frozenset({JobState.SUCCEEDED}))) == []


def test_an_event_has_no_type_of_its_own_choice() -> None:
    with pytest.raises(ValueError, match=r"^body\.content_type: expected none"):
        form_of({"cloudevents": {}, "content_type": "text/plain"})
