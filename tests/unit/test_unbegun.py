"""What waits for a slot is counted once, however it goes back and comes again."""

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
