"""Webhooks and mails as `sendoff listen` shows them, and what came in all."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from destinations.signing.keys import Layout
from pipeline.cli.listening.received import Checked, Mail, Signature, Webhook
from pipeline.cli.screen import words
from pipeline.cli.screen.clean import clean_line, clean_text, is_text, json_text
from pipeline.spans import span

_MOST_LINES, _MOST_COLUMNS = 16, 300
_SIGNATURES = {Signature.GOOD: "green", Signature.BAD: "bold red", Signature.UNCHECKED: "yellow"}


def webhook_lines(hook: Webhook) -> Iterator[Text]:
    """Yield a webhook: its head, its facts, and the beginning of its body."""
    head = Text.assemble((words.exact_time(hook.at), "dim"), "  ", (clean_line(hook.type or hook.method), "bold"))
    head.append(f"  {clean_line(hook.path)}")
    if hook.attempt is not None:
        head.append(f"  attempt {hook.attempt}")
    head.append("  to be answered " if hook.delay_s else "  answered ")
    head.append(str(hook.status), "green" if 200 <= hook.status < 300 else "red")
    if hook.delay_s:
        head.append(f" in {span(hook.delay_s)}")
    yield head
    yield _fact("signature", _signature(hook.checked))
    if repeat := _repeat(hook):
        yield _fact("message", Text.assemble(clean_line(hook.message_id or ""), "  ", repeat))
    elif hook.message_id:
        yield _fact("message", Text(clean_line(hook.message_id)))
    for name, value in (("job", hook.job_id), ("batch", hook.batch_id), ("from", hook.destination)):
        if value:
            yield _fact(name, Text(clean_line(value)))
    yield from _preview(_body(hook))


def mail_lines(mail: Mail) -> Iterator[Text]:
    """Yield a mail: its envelope, its subject, its text and what is attached."""
    head = Text.assemble((words.exact_time(mail.at), "dim"), "  ", ("mail", "bold"))
    yield head.append(f"  {clean_line(mail.subject)}", "cyan")
    yield _fact("from", Text(clean_line(mail.sender)))
    yield _fact("to", Text(clean_line(", ".join(mail.recipients))))
    if mail.seen > 1:
        yield _fact("message", Text(f"duplicate: its Message-ID came before, {_times(mail.seen)} now", "magenta"))
    for name, value in (("job", mail.job_id), ("batch", mail.batch_id)):
        if value:
            yield _fact(name, Text(clean_line(value)))
    for each in mail.attachments:
        yield _fact(
            "attached",
            Text(f"{clean_line(each.name)}  {clean_line(each.content_type)}  {words.count(each.size, 'byte')}"),
        )
    yield from _preview(clean_text(mail.text))


class Tally:
    """Counts what came."""

    def __init__(self) -> None:
        self._webhooks = self._accepted = self._bad = self._duplicates = self._others = self._mails = 0
        self._unanswered = 0

    def hook(self, hook: Webhook) -> None:
        """Count a webhook, or a request that is none."""
        if not hook.is_webhook:
            self._others += 1
            return
        self._webhooks += 1
        self._accepted += hook.is_accepted
        self._bad += hook.checked.signature is Signature.BAD
        self._duplicates += hook.is_duplicate

    def unanswered(self, hook: Webhook) -> None:
        """Take back what a webhook was counted as: its answer was never written."""
        self._accepted -= hook.is_accepted
        self._unanswered += hook.is_webhook

    def mail(self, mail: Mail) -> None:
        """Count a mail."""
        self._mails += 1
        self._duplicates += mail.seen > 1

    def summary(self, *, has_mails: bool) -> str:
        """Return all of it as one line."""
        refused = self._webhooks - self._accepted - self._unanswered
        parts = [f"{words.count(self._webhooks, 'webhook')}: {self._accepted:,} accepted, {refused:,} refused"]
        parts[0] += f", {self._unanswered:,} without an answer" if self._unanswered else ""
        parts += [words.count(self._bad, "bad signature")] if self._bad else []
        parts += [words.count(self._others, "other request")] if self._others else []
        parts += [words.count(self._mails, "mail")] if has_mails else []
        parts += [words.count(self._duplicates, "duplicate")] if self._duplicates else []
        return "; ".join(parts)


def _signature(checked: Checked) -> Text:
    found = Text(str(checked.signature), _SIGNATURES[checked.signature])
    if checked.layout not in (None, Layout.STANDARD):
        found.append(f" ({checked.layout})")
    return found.append(f": {clean_line(checked.why)}") if checked.why else found


def _repeat(hook: Webhook) -> Text | None:
    if hook.is_duplicate:
        return Text(f"duplicate: accepted before, {_times(hook.seen)} now", "magenta")
    if hook.seen > 1 and hook.message_id and hook.checked.signature is not Signature.BAD:
        return Text(f"again: not accepted so far, {_times(hook.seen)} now", "yellow")
    return None


def _times(number: int) -> str:
    return f"came {number} times"


def _fact(name: str, value: Text) -> Text:
    return Text.assemble("  ", (f"{name:<10}", "dim"), value)


def _body(hook: Webhook) -> str:
    if (value := hook.value) is not None:
        return json_text(_telling(value))
    if (text := is_text(hook.body)) is not None:
        return clean_text(text)
    return f"{words.count(len(hook.body), 'byte')} of {clean_line(hook.content_type or 'no type')}"


def _telling(value: Any) -> Any:
    """Return what a message says besides the facts of its job, which stand in the head; anything else as it is."""
    inside = value.get("data") if isinstance(value, dict) else None
    if not isinstance(inside, dict) or not isinstance(inside.get("job"), dict):
        return value
    job = inside["job"]
    facts = {name: job[name] for name in ("function", "state", "reason") if job.get(name) is not None}
    return facts | {name: each for name, each in inside.items() if name != "job" and each is not None}


def _preview(text: str) -> Iterator[Text]:
    lines = text.rstrip().splitlines()
    for line in lines[:_MOST_LINES]:
        cut = line.expandtabs(4)
        yield Text(f"  {cut[:_MOST_COLUMNS]}{' ...' if len(cut) > _MOST_COLUMNS else ''}")
    if len(lines) > _MOST_LINES:
        yield Text(f"  ... and {words.count(len(lines) - _MOST_LINES, 'more line')}", "dim")
