"""The public keys of webhooks: for anybody, those that sign now, and nothing else of a secret."""

from datetime import timedelta
from pathlib import Path

from destinations.signing.ed25519 import new_pair
from destinations.webhook.secrets import TemporarySecret
from pipeline.config.secret import Secret
from tests.support.service import KeySettings, serving, webhook

PATH = "/.well-known/webhook-keys"
SYMMETRIC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_the_keys_of_asymmetric_secrets_are_told_until_they_are_over(tmp_path: Path) -> None:
    (new, new_public), (old, old_public), (other, other_public) = new_pair(), new_pair(), new_pair()
    async with serving(tmp_path) as service:
        end = service.clock.now() + timedelta(hours=24)
        hooks = {
            "archive": webhook(
                "http://127.0.0.1:9/",
                secrets=(Secret(new), TemporarySecret(secret=Secret(old), until=end), Secret(SYMMETRIC)),
            ),
            "index": webhook("http://127.0.0.1:9/", secrets=(Secret(other),)),
            "mirror": webhook("http://127.0.0.1:9/", secrets=(Secret(new),)),
            "plain": webhook("http://127.0.0.1:9/"),
        }
        assert (await service.get(PATH)).json == {"keys": []}
        assert await service.reload(destinations=hooks)
        ending = {"key": old_public, "until": end.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        lasting = [{"key": key, "until": None} for key in (new_public, other_public)]
        answer = await service.get(PATH)
        assert answer.json == {"keys": [lasting[0], ending, lasting[1]]}
        for secret in (new, old, other, SYMMETRIC):
            assert secret.partition("_")[2].encode() not in answer.body
        assert (await service.get(f"{PATH}?destination=archive")).json == {"keys": [lasting[0], ending]}
        assert (await service.get(f"{PATH}?destination=plain")).json == {"keys": []}
        assert (await service.get(f"{PATH}?destination=nobody")).json == {"keys": []}
        await service.clock.advance(24 * 3600)
        assert (await service.get(PATH)).json == {"keys": lasting}


async def test_anybody_may_see_them(tmp_path: Path) -> None:
    keys = (KeySettings(name="ci", sha256="0" * 64, scopes=("read",)),)
    async with serving(tmp_path, keys=keys) as service:
        assert (await service.get("/v1/destinations")).status == 401
        assert (await service.get(PATH)).status == 200
