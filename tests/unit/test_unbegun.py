"""What waits for a slot is counted once, however it goes back and comes again, and leaves nothing behind."""

from pipeline.model import DeliveryState
from pipeline.services.deliveries.unbegun import AllUnbegun
from tests.support.samples import delivery

READ = {("archive", DeliveryState.SENDING): 3}


async def test_what_is_claimed_anew_before_it_has_quite_gone_back_is_counted_once() -> None:
    every, sending = AllUnbegun(), delivery()
    before, anew = every.add(sending), every.add(sending)
    assert every.counted(READ) == {("archive", DeliveryState.SENDING): 2, ("archive", DeliveryState.PENDING): 1}
    assert not every.remove(before)
    assert every.destinations == ["archive"]
    assert every.remove(anew)
    assert every.destinations == []
    assert every.counted(READ) == READ


async def test_what_has_begun_is_forgotten_while_others_wait() -> None:
    every = AllUnbegun()
    every.add(delivery())
    for _ in range(100):
        every.remove(every.add(delivery()))
    assert len(every._by_subject) == 1
