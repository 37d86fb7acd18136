"""The states and reasons of jobs, runs, deliveries and messages; how states follow each other stands in `lifecycle`."""

from enum import StrEnum


class JobState(StrEnum):
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Tell whether a job in this state has ended."""
        return self in FINAL_JOB_STATES


FINAL_JOB_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


class JobReason(StrEnum):
    """Why a run, and with its last run a job, failed."""

    ERROR = "error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    BAD_RESPONSE = "bad_response"
    BAD_STATUS = "bad_status"
    TOO_LARGE = "too_large"
    REJECTED = "rejected"
    LOST = "lost"


class RunState(StrEnum):
    """How a run ended; `running` is shown for the current one and never stored."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETURNED = "returned"
    LOST = "lost"
    CANCELLED = "cancelled"


class DeliveryState(StrEnum):
    """Where a delivery stands; `held` is shown for an open one whose destination does not take it, never stored."""

    PENDING = "pending"
    SENDING = "sending"
    RETRYING = "retrying"
    HELD = "held"
    DELIVERED = "delivered"
    DEAD = "dead"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Tell whether a delivery in this state is still owed."""
        return self in OPEN_DELIVERY_STATES


OPEN_DELIVERY_STATES = frozenset(
    {DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING, DeliveryState.HELD}
)


class DeliveryReason(StrEnum):
    """Why a delivery stands where it stands: the error classes of an attempt first, then the verdicts on the whole."""

    DNS_ERROR = "dns_error"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_RESET = "connection_reset"
    NETWORK_UNREACHABLE = "network_unreachable"
    TIMEOUT = "timeout"
    TLS_ERROR = "tls_error"
    REDIRECT = "redirect"
    BLOCKED_ADDRESS = "blocked_address"
    TOO_LARGE = "too_large"
    ABORTED = "aborted"
    HTTP_ERROR = "http_error"
    SMTP_ERROR = "smtp_error"
    RECEIVER_ERROR = "receiver_error"
    """Of kinds that have no class of their own, such as those of plug-ins."""
    TEMPLATE_ERROR = "template_error"
    AUTH_ERROR = "auth_error"
    FILTERED = "filtered"
    REJECTED = "rejected"
    GONE = "gone"
    LOST = "lost"
    TOO_DEEP = "too_deep"
    PAUSED = "paused"
    DISABLED = "disabled"
    UNCONFIGURED = "unconfigured"


class BatchState(StrEnum):
    RECEIVING = "receiving"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Tell whether a batch in this state has ended; only an operator's retry opens it again."""
        return self not in {BatchState.RECEIVING, BatchState.RUNNING}


class MessageType(StrEnum):
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    BATCH_COMPLETED = "batch.completed"
    WEBHOOK_TEST = "webhook.test"
    """Made up, when a destination is tested; never stored, so that no delivery has it."""
    DEAD_DELIVERY = "destination.dead_delivery"
    BREAKER_OPENED = "destination.breaker_opened"
    DISABLED = "destination.disabled"
    RECOVERED = "destination.recovered"
    """It takes deliveries again, after its breaker was open, or it was disabled."""


ALERTS = frozenset({MessageType.DEAD_DELIVERY, MessageType.BREAKER_OPENED, MessageType.DISABLED, MessageType.RECOVERED})


class Verdict(StrEnum):
    """What one attempt at a destination means for its delivery."""

    DELIVERED = "delivered"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
