"""Mails of a whole service: one delivery a recipient, as the API shows them."""

from pathlib import Path
from typing import Any

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


async def test_an_address_that_was_taken_out_gets_what_it_was_owed_unless_that_is_cancelled(tmp_path: Path) -> None:
    async with mail_server(RCPT="450 later") as server:

        def to(address: str) -> dict[str, Any]:
            options = Settings(
                smtp=f"smtp://127.0.0.1:{server.port}",
                from_="s@example.com",
                to=(address,),
                retry=RetrySpec(waits=(10.0, 10.0)),
                breaker=None,
            )
            return {
                "functions": {"f-background": sends_to("oncall", retry=RetrySpec(waits=()))},
                "destinations": {"oncall": DestinationSettings(name="", kind="email", options=options)},
            }

        async with serving(tmp_path, {"f-background.py": FAILS}, **to("old@example.com")) as service:
            owed, cancelled = [await service.start_job("f-background") for _ in range(2)]
            for job_id in (owed, cancelled):
                await service.until_delivered(job_id, "retrying")
            assert await service.reload(**to("new@example.com"))
            (unwanted,) = (await service.get(f"/v1/jobs/{cancelled}/deliveries")).json["items"]
            await service.post(f"/v1/deliveries/{unwanted['id']}/cancel")
            server.answers = {**server.answers, "RCPT": "250 fine"}
            await service.clock.advance(13)
            await service.until_delivered(owed, "delivered")
            await service.until_delivered(await service.start_job("f-background"), "delivered")
        assert [recipients for _, recipients, _ in server.envelopes] == [["old@example.com"], ["new@example.com"]]
