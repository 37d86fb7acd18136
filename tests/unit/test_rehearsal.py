"""The rehearsal of templates: what cannot be filled in is told, and what depends on a result is given the benefit."""

from functools import partial

import pytest

from destinations.base import End
from destinations.bodies.rehearsal import ENDS, fault_of
from destinations.email import defaults
from destinations.email.settings import settings_of, warn
from destinations.templates.rendering import compile_template, render
from pipeline.model import BatchState, JobState

OPTIONS = {"smtp": "smtp://localhost", "from": "sendoff@example.com", "to": ["ops@example.com"]}
SUCCEEDED, FAILED, EXPIRED = JobState.SUCCEEDED, JobState.FAILED, JobState.EXPIRED
COMPLETED, WITH_FAILURES = BatchState.COMPLETED, BatchState.COMPLETED_WITH_FAILURES


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("template", [defaults.SUBJECT, defaults.TEXT, defaults.HTML])
def test_our_own_templates_can_be_filled_in_for_every_end(template: str, end: End) -> None:
    assert fault_of(partial(render, compile_template(template, is_html=template is defaults.HTML)), end) is None


@pytest.mark.parametrize(
    "template",
    [
        "{{ result }}",
        "{{ result.words }}",
        "{{ result['a']['b'][0].c }}",
        "{{ result.words + 1 }} {{ 100 * result.done / result.total }} {{ -result.x }} {{ result.n // 2 % 3 }}",
        "{{ (result.done / result.total * 100) | round(1) }}",
        "{{ '%d of %.2f' | format(result.done, result.total) }} {{ '%05.1f' % result.share }}",
        "{{ result | tojson(indent=2) | truncate(100) }} {{ result.part | tojson }}",
        "{% for row in result.rows %}{{ row.name | upper }}{{ loop.index }}{% else %}none{% endfor %}",
        "{% for key, value in result.items() %}{{ key }}{{ value }}{% endfor %}",
        "{{ result.rows | first }} {{ result.rows | last }} {{ result.rows | map(attribute='n') | sum }}",
        "{{ result.rows | sort(attribute='n') | length }} {{ result.rows | join(', ') }}",
        "{{ result.rows | groupby('kind') | list | length }} {{ result.rows | map(attribute='n') | max }}",
        "{{ result.rows[:3] }} {{ result.text[:80] }} {{ result.text.strip().splitlines()[0] }}",
        "{% if result.words > 10 and result.ok %}many{% elif result.words <= 2 %}few{% endif %}",
        "{{ result.get('a', 5) }} {{ result.missing | default('-') }} {{ result.a in ('x', 'y') }}",
        "{{ result.bytes | filesizeformat }} {{ result.name | replace('a', 'b') | title }} {{ result.when[11:16] }}",
        "{% for n in range(result.count) %}{{ n }}{% endfor %}{{ result.a ~ result.b }}",
    ],
)
def test_what_depends_on_a_result_is_not_held_against_its_template(template: str) -> None:
    for writing in ({}, {"is_html": True}, {"is_json": True}):
        assert fault_of(partial(render, compile_template(template, **writing)), SUCCEEDED) is None


@pytest.mark.parametrize(
    ("template", "end", "fault"),
    [
        ("{{ job.id }} {{ job.tags[0] }} {{ job.parent_id[:8] }} {{ job.links.self }}", EXPIRED, None),
        ("{{ job.funtion }}", SUCCEEDED, "UndefinedError: 'dict object' has no attribute 'funtion'"),
        ("{{ error.errorMessage }}", FAILED, None),
        ("{{ error.errorMessage }}", SUCCEEDED, "UndefinedError: 'None' has no attribute 'errorMessage'"),
        ("{{ error.errorMessage }}", EXPIRED, "UndefinedError: 'None' has no attribute 'errorMessage'"),
        ("{{ result.words }}", FAILED, "UndefinedError: 'None' has no attribute 'words'"),
        ("{{ batch.succeeded }} {{ failures[0].error.errorMessage }} {{ batch.links.results }}", WITH_FAILURES, None),
        ("{{ failures[0].key }}", COMPLETED, "UndefinedError: list object has no element 0"),
        ("{{ batch.suceeded }}", COMPLETED, "UndefinedError: 'dict object' has no attribute 'suceeded'"),
        ("{{ job.id }}", COMPLETED, "UndefinedError: 'None' has no attribute 'id'"),
        ("{{ batch.created_at | until(batch.ended_at) }}", COMPLETED, None),
        ("{{ 1 / 0 }}", FAILED, "ZeroDivisionError: division by zero"),
        ("{% for n in range(90000) %}12345{% endfor %}", FAILED, "makes more than 262144 characters"),
    ],
)
def test_what_cannot_be_filled_in_says_why(template: str, end: End, fault: str | None) -> None:
    assert fault_of(partial(render, compile_template(template)), end) == fault


@pytest.mark.parametrize("key", ["subject", "text", "html"])
def test_a_template_that_no_message_fills_is_a_fault(key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}: expected a template that can be filled in, got UndefinedError: "):
        settings_of(OPTIONS | {key: "{{ job.funtion }}"})
    settings_of(OPTIONS | {key: "{{ error.errorMessage }}"})  # some messages fill it
    settings_of(OPTIONS | {key: "{{ dict(result)['a'] }}"})  # nobody can say
    with pytest.raises(ValueError, match=f"^{key}: .* no attribute 'funtion'"):  # whatever the result is
        settings_of(OPTIONS | {key: "{{ dict(result)['a'] }}{{ job.funtion }}"})


def test_the_fault_that_is_told_is_the_author_s_and_not_what_another_message_lacks() -> None:
    with pytest.raises(ValueError, match="no attribute 'nope'") as raised:
        settings_of(OPTIONS | {"text": "{{ batch.total }} {{ batch.nope }}"})
    assert "'None'" not in str(raised.value)


def test_what_steers_a_terminal_is_left_out() -> None:
    for is_html in (False, True):
        template = compile_template("{{ job.id }}\t{{ result }}\n", is_html=is_html)
        assert render(template, {"job": {"id": "a\x1b[31mb\x07\nc"}, "result": "\x00d\r"}) == "a[31mb\nc\td"


def test_only_the_ends_that_come_are_warned_of() -> None:
    settings = settings_of(OPTIONS | {"text": "{{ error.errorMessage }}"})
    for ends, expected in (
        ({FAILED}, 0),
        ({FAILED, EXPIRED}, 1),
        ({SUCCEEDED, FAILED, EXPIRED}, 2),
        ({COMPLETED}, 1),
        (set(), 0),
    ):
        assert len(list(warn(settings, frozenset(ends)))) == expected
