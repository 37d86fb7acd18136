"""Headers of mails: whatever is said, a reader of the standard library's finds that, and no other header."""

import re
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default
from email.utils import parseaddr

from hypothesis import given
from hypothesis import strategies as st

from destinations.email.address import mailbox_of
from destinations.email.headers import of_mailbox, of_text

PRINTABLE = st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp"))
TEXTS = st.one_of(
    st.text(),
    st.text(min_size=100, max_size=300),
    st.text(st.sampled_from('=?utf-8qbQB?AZ09_ \r\nü東😊,;"<>()@.:\0\\')),
    st.lists(st.text(PRINTABLE), max_size=40).map(" ".join),
)
WRITTEN = st.text(st.sampled_from('ab@.<>"(),:;\\[] ü=?\n\r'))


def read(header: bytes, name: str) -> str:
    """Return the value of the one header there is, by the older parser, which decodes nothing by itself."""
    mail = header + b"Next: one\r\n\r\nbody"
    assert message_from_bytes(mail, policy=default).keys() == [name, "Next"]
    assert max(map(len, header.split(b"\r\n"))) <= 998
    return re.sub("\r?\n", "", str(message_from_bytes(mail)[name]))


@given(TEXTS)
def test_a_text_is_read_as_it_was_said_in_one_line(text: str) -> None:
    header = of_text("Subject", text)
    assert header.isascii()
    found = str(make_header(decode_header(read(header, "Subject"))))
    shown = re.sub(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]", "", text)
    assert found.strip(" ") == " ".join(shown.split())
    assert str(message_from_bytes(header, policy=default)["Subject"]).strip(" ") == found.strip(" ")


@given(st.text(PRINTABLE).filter(lambda text: "=?" not in text))
def test_a_name_is_read_as_it_was_written(name: str) -> None:
    quoted = re.sub(r'(["\\])', r"\\\1", name)
    header = of_mailbox("From", mailbox_of(f'"{quoted}" <ops@example.com>'))
    assert header.isascii()
    found, address = parseaddr(read(header, "From"))
    assert (str(make_header(decode_header(found))), address) == (" ".join(name.split()), "ops@example.com")


@given(WRITTEN)
def test_what_is_taken_for_one_address_is_one_to_its_reader(text: str) -> None:
    for written in (text, f"{text} <a@b.example>", f'"{text}" <a@b.example>', f"Ops <{text}@b.example>"):
        try:
            mailbox = mailbox_of(written)
        except ValueError:
            continue
        header = of_mailbox("To", mailbox)
        read(header, "To")
        found = message_from_bytes(header, policy=default)["To"].addresses
        if header.isascii():
            assert [each.addr_spec for each in found] == [mailbox.address]
