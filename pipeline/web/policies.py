"""Policies: what a caller must have to use a route. Each row of the route table names one; `access` applies them."""

from dataclasses import dataclass

from pipeline.config.settings import Scope
from pipeline.links import Purpose
from pipeline.store.transactions.ownership import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy, and how the documentation says it."""

    who: str
    scope: Scope | None = None
    """What the key must have; None: no key is needed."""
    owned: Subject | None = None
    """A key with `invoke` needs no other scope for what it made itself."""
    is_change: bool = False
    link: Purpose | None = None
    """The signed links that will do, too."""
    is_function: bool = False
    """Whether it is the function's own `access` that decides, and which functions a key may invoke."""

    @property
    def is_linked(self) -> bool:
        """Tell whether a signed link will do, too."""
        return self.link is not None


OPEN = Policy(who="anyone")
FUNCTION = Policy(who="by the function's `access`: anyone, or `invoke`", scope=Scope.INVOKE, is_function=True)
INVOKE = Policy(who="`invoke`", scope=Scope.INVOKE)
READ = Policy(who="`read`", scope=Scope.READ)
ADMIN = Policy(who="`admin`", scope=Scope.ADMIN)

READ_JOB = Policy(who="`read`, or its maker", scope=Scope.READ, owned=Subject.JOB)
_READER_OR_LINK = "`read`, its maker, or a signed link"
READ_LINKED_JOB = Policy(who=_READER_OR_LINK, scope=Scope.READ, owned=Subject.JOB, link=Purpose.JOB)
CHANGE_JOB = Policy(who="`admin`, or its maker", scope=Scope.ADMIN, owned=Subject.JOB, is_change=True)
READ_BATCH = Policy(who="`read`, or its maker", scope=Scope.READ, owned=Subject.BATCH)
READ_LINKED_BATCH = Policy(who=_READER_OR_LINK, scope=Scope.READ, owned=Subject.BATCH, link=Purpose.BATCH)
CHANGE_BATCH = Policy(who="`admin`, or its maker", scope=Scope.ADMIN, owned=Subject.BATCH, is_change=True)
READ_DELIVERY = Policy(who="`read`, or its job's maker", scope=Scope.READ, owned=Subject.DELIVERY)
CHANGE_DELIVERY = Policy(who="`admin`, or its job's maker", scope=Scope.ADMIN, owned=Subject.DELIVERY, is_change=True)
