"""Whom a mail is from and whom it goes to: what its reader sees, and what its server is told."""

import pytest

from destinations.email.destination import Email
from destinations.email.settings import settings_of
from pipeline.model import DeliveryReason, Verdict
from tests.support.sent_mail import taking

D, P = Verdict.DELIVERED, Verdict.PERMANENT
UMLAUT = "müller@example.com"


@pytest.mark.parametrize(
    ("written", "name", "address"),
    [
        ("ops@example.com", "", "ops@example.com"),
        ("<ops@example.com>", "", "ops@example.com"),
        ("Ops Team <ops@example.com>", "Ops Team", "ops@example.com"),
        ("  Ops   Team<ops@example.com> ", "Ops Team", "ops@example.com"),
        ("Dr. O'Ops <ops@example.com>", "Dr. O'Ops", "ops@example.com"),
        ('"Ops, Night" <ops@example.com>', "Ops, Night", "ops@example.com"),
        (r'"The \"Ops\" (\\)" <ops@example.com>', r'The "Ops" (\)', "ops@example.com"),
        ('"x@example.com>, <y@example.com" <ops@example.com>', "x@example.com>, <y@example.com", "ops@example.com"),
        ("Müller & Söhne <ops@example.com>", "Müller & Söhne", "ops@example.com"),
        ("東京 <ops@example.com>", "東京", "ops@example.com"),
        ("ops@bücher.example", "", "ops@xn--bcher-kva.example"),
        ("Ops <ops@BÜCHER。example>", "Ops", "ops@xn--bcher-kva.example"),
        ("ops@Example.COM", "", "ops@Example.COM"),
    ],
)
async def test_a_reader_sees_the_name_and_the_server_is_told_the_address(written: str, name: str, address: str) -> None:
    async with taking() as server:
        assert (await server.sent(to=written, reply_to=written, **{"from": written})).verdict is D
        (envelope,) = server.envelopes
        mail = server.mail()
    assert (envelope.mail_from, envelope.rcpt_tos) == (address, [address])
    for header in ("From", "To", "Reply-To"):
        (mailbox,) = mail[header].addresses
        assert (mailbox.display_name, mailbox.addr_spec, mail[header].defects) == (name, address, ())
    assert mail["Message-ID"].endswith(f"@{address.rpartition('@')[2]}>")


async def test_an_address_beyond_ascii_goes_to_servers_that_take_one() -> None:
    async with taking(is_utf8=True) as server:
        assert (await server.sent(to=f"Müller <{UMLAUT}>")).verdict is D
        assert server.envelopes[0].rcpt_tos == [UMLAUT]
        assert "SMTPUTF8" in server.envelopes[0].mail_options
        assert b"\r\nTo: =?utf-8?q?M=C3=BCller?= <m\xc3\xbcller@example.com>\r\n" in server.bytes()
        assert (await server.sent()).verdict is D
        assert "SMTPUTF8" not in server.envelopes[1].mail_options


async def test_where_a_server_takes_none_the_mail_is_dead_and_says_why() -> None:
    async with taking() as server:
        for addresses in ({"to": UMLAUT}, {"from": UMLAUT}, {"reply_to": UMLAUT}):
            outcome = await server.sent(**addresses)
            assert (outcome.verdict, outcome.reason, outcome.status) == (P, DeliveryReason.REJECTED, None)
            assert outcome.message == (
                f"127.0.0.1:{server.port} does not offer SMTPUTF8, which an address needs that has more than ASCII "
                "before its @"
            )
        assert server.envelopes == []


async def test_a_mail_that_is_too_large_for_its_server_is_dead_and_says_so() -> None:
    async with taking(limit=3000) as server:
        assert (await server.sent(text="x")).verdict is D
        outcome = await server.sent(text="x" * 3000)
        assert (outcome.verdict, outcome.reason, outcome.status) == (P, DeliveryReason.REJECTED, None)
        said = f"127.0.0.1:{server.port} takes mails of at most 3000 bytes, and this one has "
        assert outcome.message.startswith(said)
        assert 3000 < int(outcome.message.removeprefix(said)) < 4500
        assert len(server.envelopes) == 1


def test_recipients_are_addresses_without_names() -> None:
    to = ["Ops <ops@example.com>", "OPS@example.com", "b@bücher.example"]
    settings = settings_of({"smtp": "smtp://h", "from": "S <s@example.com>", "to": to})
    assert Email("mail", settings).recipients() == ("ops@example.com", "OPS@example.com", "b@xn--bcher-kva.example")
