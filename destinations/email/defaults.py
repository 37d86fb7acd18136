"""The templates of mails where the configuration has none: what a person wants to know first, and links to the rest."""

SUBJECT = """
{%- if alert %}{{ alert.destination }}: {{ type | replace("destination.", "") | replace("_", " ") }}
{%- elif batch %}{{ batch.function }}: {{ batch.succeeded }} of {{ batch.total }} succeeded
{%- if batch.state == "cancelled" %}, cancelled{% endif %}
{%- elif type == "job.succeeded" %}{{ job.function }} succeeded
{%- else %}{{ job.function }} {{ job.state }}{% if job.reason %}: {{ job.reason }}{% endif %}
{%- endif %}"""

TEXT = """\
{% if alert %}
{{ alert.because }}

Destination {{ alert.destination }} ({{ alert.kind }})
Since       {{ timestamp }}

Status      {{ alert.links.destination }}
{% if alert.delivery_id %}
Delivery    {{ alert.links.delivery }}
{% endif %}
{% elif batch %}
{% for count, state in ((batch.succeeded, "succeeded"), (batch.failed, "failed"), (batch.expired, "expired"),
   (batch.cancelled, "cancelled")) if count or state == "succeeded" %}
{{ "%7d %s" | format(count, state) }}
{% endfor %}
{{ "%7d in all" | format(batch.total) }}

Function   {{ batch.function }}
State      {{ batch.state | replace("_", " ") }}
Accepted   {{ batch.created_at }}
Ended      {{ batch.ended_at }}, after {{ batch.created_at | until(batch.ended_at) }}
Batch      {{ batch.id }}

Status     {{ batch.links.self }}
Results    {{ batch.links.results }}
{% if failures %}

Failed or expired:
{% for failure in failures %}
  {{ failure.key or "item %d" | format(failure.index) }}: {{ failure.reason or "expired" }}
  {%- if failure.error %}, {{ failure.error.errorType }}: {# the sentence alone says too little #}
  {{- failure.error.errorMessage | truncate(200, true, " ...") }}{% endif %}

{% endfor %}
{% if batch.failed + batch.expired > failures | length %}
  and {{ batch.failed + batch.expired - failures | length }} more: see the results
{% endif %}
{% endif %}
{% else %}
{% if error %}
{{ error.errorType }}: {{ error.errorMessage }}

{% endif %}
Function   {{ job.function }}
State      {{ job.state }}{% if job.reason %} ({{ job.reason }}){% endif %}

Attempt    {{ job.attempt }}
Accepted   {{ job.created_at }}
Ended      {{ job.ended_at }}, after {{ job.created_at | until(job.ended_at) }}
Job        {{ job.id }}
{% if job.tags %}
Tags       {{ job.tags | join(", ") }}
{% endif %}

Status     {{ job.links.self }}
Result     {{ job.links.result }}
Log        {{ job.links.logs }}
{% if result is not none %}

{{ result | tojson(indent=2) | truncate(2000, true, " ...") }}
{% endif %}
{% endif %}
"""

HTML = """\
{% macro row(name, value) %}
<tr><td style="padding-right: 1em; color: #666; vertical-align: top">{{ name }}</td><td>{{ value }}</td></tr>
{% endmacro %}
<!doctype html>
<html><body style="font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 40em">
{% if alert %}
<h1 style="font-size: 1.2em">{{ alert.destination }}: {{ type | replace("destination.", "") | replace("_", " ") }}</h1>
<p>{{ alert.because }}</p>
<table style="border-spacing: 0 2px">
{{ row("Destination", alert.destination ~ " (" ~ alert.kind ~ ")") }}
{{ row("Since", timestamp) }}
</table>
<p><a href="{{ alert.links.destination }}">Status</a>
{%- if alert.delivery_id %} &middot; <a href="{{ alert.links.delivery }}">Delivery</a>{% endif %}</p>
{% elif batch %}
<h1 style="font-size: 1.2em">{{ batch.function }}: {{ batch.succeeded }} of {{ batch.total }} succeeded
{%- if batch.state == "cancelled" %}, cancelled{% endif %}</h1>
<table style="border-spacing: 0 2px">
{% for count, state in ((batch.succeeded, "Succeeded"), (batch.failed, "Failed"), (batch.expired, "Expired"),
   (batch.cancelled, "Cancelled"), (batch.total, "In all")) if count or state == "Succeeded" %}
{{ row(state, count) }}
{% endfor %}
{{ row("State", batch.state | replace("_", " ")) }}
{{ row("Accepted", batch.created_at) }}
{{ row("Ended", batch.ended_at ~ ", after " ~ batch.created_at | until(batch.ended_at)) }}
{{ row("Batch", batch.id) }}
</table>
<p><a href="{{ batch.links.self }}">Status</a> &middot; <a href="{{ batch.links.results }}">Results</a></p>
{% if failures %}
<p>Failed or expired:</p>
<table style="border-spacing: 0 2px">
{% for failure in failures %}
{{ row(failure.key or "item %d" | format(failure.index), (failure.reason or "expired") ~
   (", " ~ failure.error.errorType ~ ": " ~ failure.error.errorMessage | truncate(200, true, " ...")
   if failure.error else "")) }}
{% endfor %}
</table>
{% if batch.failed + batch.expired > failures | length %}
<p>and {{ batch.failed + batch.expired - failures | length }} more: see the results</p>
{% endif %}
{% endif %}
{% else %}
<h1 style="font-size: 1.2em">{{ job.function }} {{ job.state }}{% if job.reason %}: {{ job.reason }}{% endif %}</h1>
{% if error %}<p><strong>{{ error.errorType }}</strong>: {{ error.errorMessage }}</p>{% endif %}
<table style="border-spacing: 0 2px">
{{ row("Attempt", job.attempt) }}
{{ row("Accepted", job.created_at) }}
{{ row("Ended", job.ended_at ~ ", after " ~ job.created_at | until(job.ended_at)) }}
{{ row("Job", job.id) }}
</table>
<p><a href="{{ job.links.self }}">Status</a> &middot; <a href="{{ job.links.result }}">Result</a> &middot;
<a href="{{ job.links.logs }}">Log</a></p>
{% if result is not none %}
<pre style="background: #f5f5f5; padding: 1em; white-space: pre-wrap">
{{- result | tojson(indent=2) | truncate(2000, true, " ...") -}}
</pre>
{% endif %}
{% endif %}
</body></html>
"""
