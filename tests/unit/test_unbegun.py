"""What waits for a slot is counted once, however it goes back and comes again."""

from datetime import UTC, datetime

from pipeline.model import Delivery, DeliveryState, MessageType
from pipeline.services.unbegun import AllUnbegun

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
DELIVERY = Delivery(
    id="d1",
    message_id="msg_1",
    type=MessageType.JOB_SUCCEEDED,
    subject_id="j1",
    destination="hook",
    kind="webhook",
    recipient="",
    state=DeliveryState.SENDING,
    reason=None,
    attempt=1,
    max_attempts=12,
    lost=0,
    created_at=NOW,
    due_at=NOW,
    delivered_at=None,
    last_error=None,
)
READ = {("hook", DeliveryState.SENDING): 3}


async def test_what_is_claimed_anew_before_it_has_quite_gone_back_is_counted_once() -> None:
    every = AllUnbegun()
    before, anew = every.add(DELIVERY), every.add(DELIVERY)
    assert every.counted(READ) == {("hook", DeliveryState.SENDING): 2, ("hook", DeliveryState.PENDING): 1}
    assert not every.remove(before)
    assert every.destinations == ["hook"]
    assert every.remove(anew)
    assert every.destinations == []
    assert every.counted(READ) == READ
