"""The nouns of Sendoff: jobs, runs, messages, deliveries, attempts, with their states and reasons.

Plain frozen values. How states follow each other stands in `lifecycle`, how they are stored in `store`.
Moments (`_at`) are aware datetimes in UTC; spans (`_s`) are seconds as float.
"""

from pipeline.model.deliveries import (
    Attempt,
    ChildDraft,
    ClaimedDelivery,
    Delivery,
    DeliveryDraft,
    DestinationStatus,
    LastError,
    Message,
    Outcome,
)
from pipeline.model.jobs import (
    Call,
    ClaimedJob,
    Job,
    JobDraft,
    Lease,
    LogLine,
    Output,
    Progress,
    Result,
    Run,
    RunError,
    RunOutcome,
)
from pipeline.model.states import (
    FINAL_JOB_STATES,
    OPEN_DELIVERY_STATES,
    DeliveryReason,
    DeliveryState,
    JobReason,
    JobState,
    MessageType,
    RunState,
    Verdict,
)

__all__ = [
    "FINAL_JOB_STATES",
    "OPEN_DELIVERY_STATES",
    "Attempt",
    "Call",
    "ChildDraft",
    "ClaimedDelivery",
    "ClaimedJob",
    "Delivery",
    "DeliveryDraft",
    "DeliveryReason",
    "DeliveryState",
    "DestinationStatus",
    "Job",
    "JobDraft",
    "JobReason",
    "JobState",
    "LastError",
    "Lease",
    "LogLine",
    "Message",
    "MessageType",
    "Outcome",
    "Output",
    "Progress",
    "Result",
    "Run",
    "RunError",
    "RunOutcome",
    "RunState",
    "Verdict",
]
