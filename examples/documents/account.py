"""The demo's books: what was submitted, what came back, and whether the two agree. No I/O."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

FINAL_STATES = {"succeeded", "failed", "cancelled", "expired"}
OPEN_DELIVERIES = ("pending", "sending", "retrying")


@dataclass(slots=True, kw_only=True)
class Case:
    """One document on its way; `job` is the last answer of its status URL."""

    name: str
    path: Path
    key: str = field(default_factory=lambda: uuid4().hex)
    """What tells this submission from any other, however often it is sent."""
    job_id: str | None = None
    job: dict[str, Any] = field(default_factory=dict)
    elapsed_s: float | None = None
    """From the POST to the answer with the final state, as the caller saw it."""
    children: list[dict[str, Any]] = field(default_factory=list)
    """The jobs that the result was handed on to, by the status API."""
    problem: str | None = None
    """Why the case could not be followed to its end."""

    @property
    def state(self) -> str:
        """The job's state by its status URL."""
        return str(self.job.get("state", "unknown"))

    @property
    def is_final(self) -> bool:
        """Tell whether the job has ended."""
        return self.state in FINAL_STATES

    @property
    def is_settled(self) -> bool:
        """Tell whether the job has ended and no delivery of it is on its way."""
        return self.is_final and not any(self.deliveries[state] for state in OPEN_DELIVERIES)

    @property
    def deliveries(self) -> Counter[str]:
        """The job's deliveries: how many are in which state."""
        return Counter(self.job.get("deliveries") or {})

    @property
    def error(self) -> str:
        """The sentence with which the function failed, or nothing."""
        return str((self.job.get("error") or {}).get("errorMessage", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One request at the receiver; `fault` says why it was not accepted."""

    job_id: str
    webhook_id: str
    type: str
    state: str
    words: int | None
    size: int
    attempt: str
    fault: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail in the mailbox."""

    message_id: str
    job_id: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one search in the index answered, and how large the index is."""

    query: str
    names: list[str]
    entries: int
    documents: int


@dataclass(slots=True, kw_only=True)
class Account:
    """Everything that is known of a run of the demo."""

    cases: list[Case]
    receipts: list[Receipt] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What went wrong with the run as a whole."""
    duration_s: float = 0.0
    found: Found | None = None
    crashes: int = 0
    unanswered: int = 0
    """Submissions whose answer the service took with it: they were sent again with the same key."""

    @property
    def verified(self) -> dict[str, list[Receipt]]:
        """The receipts with a good signature, by job."""
        by_job: dict[str, list[Receipt]] = {}
        for receipt in self.receipts:
            if receipt.fault is None:
                by_job.setdefault(receipt.job_id, []).append(receipt)
        return by_job

    @property
    def duplicates(self) -> int:
        """How many receipts repeat a webhook-id: allowed (at least once), but worth knowing."""
        ids = [receipt.webhook_id for receipts in self.verified.values() for receipt in receipts]
        return len(ids) - len(set(ids))

    @property
    def repeated_mails(self) -> int:
        """How many mails repeat a Message-ID."""
        return len(self.mails) - len({mail.message_id for mail in self.mails})


def faults_of(account: Account) -> list[str]:
    """Return a sentence for everything that is missing or does not agree; none if every document is accounted for."""
    return [
        *account.faults,
        *_faults_of_receipts(account),
        *_faults_of_cases(account),
        *_faults_of_index(account),
        *_faults_of_mails(account),
    ]


def _faults_of_cases(account: Account) -> Iterator[str]:
    verified = account.verified
    for case in account.cases:
        fault = case.problem or _fault_of(case, verified.get(case.job_id or "", []))
        if fault:
            yield f"{case.name} (job {case.job_id or 'none'}): {fault}"
    never = sum(not case.job_id and not case.problem for case in account.cases)
    if never:
        yield f"{never} documents were never submitted"


def _fault_of(case: Case, receipts: list[Receipt]) -> str | None:
    if not case.job_id:
        return None  # these are only counted
    if not case.is_final:
        return f"its job has not ended, it is {case.state}"
    told = {receipt.state for receipt in receipts}
    if not told:
        return f"no webhook with a good signature arrived; its deliveries are {dict(+case.deliveries)}"
    if told != {case.state}:
        return f"the status URL says {case.state}, the webhook says {', '.join(sorted(told))}"
    if +case.deliveries != {"delivered": 2}:  # to the archive; to the index, or a mail
        return f"its webhook arrived, but its deliveries are {dict(+case.deliveries)}"
    states = [child.get("state") for child in case.children]
    if states != ["succeeded"] * (case.state == "succeeded"):
        return f"its result was handed on to {len(states)} jobs: {states}"
    return None


def _faults_of_index(account: Account) -> Iterator[str]:
    succeeded = sum(case.state == "succeeded" for case in account.cases)
    if account.found is None:
        if succeeded:
            yield "the index was not searched"
    elif not succeeded == account.found.documents == account.found.entries:
        yield f"the index has {account.found.entries} entries of {account.found.documents} jobs for {succeeded} results"
    elif not account.found.names:
        yield f"the index finds nothing for {account.found.query!r}, which is in a document"


def _faults_of_mails(account: Account) -> Iterator[str]:
    known = {case.job_id: case for case in account.cases}
    for mail in account.mails:
        case = known.get(mail.job_id)
        if case is not None and case.state != "failed":
            yield f"{case.name}: a mail says that it failed, but it {case.state}"
        if len(mail.recipients) != 1:
            yield f"the mail {mail.message_id} went to {len(mail.recipients)} recipients at once"
    mailed = {mail.job_id for mail in account.mails}
    for case in account.cases:
        if case.state == "failed" and case.job_id not in mailed:
            yield f"{case.name} (job {case.job_id}): it failed, and no mail said so"


def _faults_of_receipts(account: Account) -> Iterator[str]:
    known = {case.job_id for case in account.cases}
    for receipt in account.receipts:
        if receipt.fault:
            yield f"webhook {receipt.webhook_id} of job {receipt.job_id} was not accepted: {receipt.fault}"
        elif receipt.job_id not in known:
            yield f"webhook {receipt.webhook_id} is about job {receipt.job_id}, which nobody submitted"
