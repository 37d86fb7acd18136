"""Mails of a whole service: one delivery a recipient, as the API shows them."""

from pathlib import Path

from destinations.email.settings import Settings
from pipeline.config.settings import DestinationSettings, RetrySpec
from tests.support.mail_server import mail_server
from tests.support.service import sends_to, serving

FAILS = """
    def handler(event, context):
        raise ValueError("no such page")
    """


async def test_a_failure_is_mailed_to_each_recipient_by_a_delivery_of_its_own(tmp_path: Path) -> None:
    async with mail_server(**{"RCPT TO:<b@example.com>": "550 nobody"}) as server:
        oncall = Settings(
            smtp=f"smtp://127.0.0.1:{server.port}",
            from_="Sendoff <s@example.com>",
            to=('"Ops, Night" <a@example.com>', "b@example.com"),
        )
        async with serving(
            tmp_path,
            {"f-background.py": FAILS},
            functions={"f-background": sends_to("oncall", retry=RetrySpec(waits=()))},
            destinations={"oncall": DestinationSettings(name="", kind="email", options=oncall)},
        ) as service:
            job_id = await service.start_job("f-background")
            await service.until_delivered(job_id, "delivered", "dead")
            found = (await service.get(f"/v1/jobs/{job_id}/deliveries")).json["items"]
            seen = {each["recipient"]: (each["kind"], each["state"], each["reason"]) for each in found}
            assert seen == {
                "a@example.com": ("email", "delivered", None),
                "b@example.com": ("email", "dead", "rejected"),
            }
        ((_, recipients, mail),) = server.envelopes
        assert recipients == ["a@example.com"]
        assert (mail["From"], mail["To"]) == ("Sendoff <s@example.com>", '"Ops, Night" <a@example.com>')
        assert (
            mail["Message-ID"] == f"<{next(e['id'] for e in found if e['recipient'] == 'a@example.com')}@example.com>"
        )
