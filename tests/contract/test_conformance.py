"""The built-in kinds keep the contract that plug-ins are held to."""

from types import MappingProxyType

from destinations.conformance import DestinationConformance
from destinations.registry import builtin_kinds
from tests.support.conforming import endpoint, jobs, mailbox, named_endpoint

KINDS = builtin_kinds()
SSH = "ssh://example.com"


class TestWebhook(DestinationConformance):
    kind = KINDS["webhook"]
    bad_options = MappingProxyType({"url": SSH, "secrets": ["whsec_c2hvcnQ="], "headers": {"X-A": "a\nb"}})
    receiver = staticmethod(endpoint)


class TestCallback(DestinationConformance):
    kind = KINDS["callback"]
    bad_options = MappingProxyType({"allow_hosts": ["https://example.com"], "secrets": ["whsec_c2hvcnQ="]})
    receiver = staticmethod(named_endpoint)


class TestEmail(DestinationConformance):
    kind = KINDS["email"]
    bad_options = MappingProxyType({"subject": "{{ jbo.id }}", "html": "{% if %}", "text_file": "/nowhere/mail.txt"})
    receiver = staticmethod(mailbox)


class TestFunction(DestinationConformance):
    kind = KINDS["function"]
    receiver = staticmethod(jobs)
