"""How long data are kept: a rule for each class of them, applied once a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from models import erasure, retention
from models.audit_event import AuditEvent
from models.database import Database
from models.erasure import DataClass, Target
from models.principal import Principal
from models.retention import RetentionClass, RetentionRule
from models.transaction import Transaction
from models.wire import Integer, WireModel
from services import audit
from services.erased_entries import ranges_of
from services.erasing import (
    REFUSALS,
    RETENTION,
    Erasure,
    ErasureFacts,
    counted,
    erase,
)
from services.erasure_service import NewErasure, erase_person
from services.errors import in_our_words

# So much is erased in one transaction: its rows are locked for a second or so, and for
# a moment at the end all writers wait.
ATTEMPTS_AT_ONCE: Final = 50
LOGINS_AT_ONCE: Final = 500
# More than these are not counted by a preview.
MANY: Final = 100_000
LEGAL_BASIS: Final = "GDPR Art. 5(1)(e)"
# What the log says of an attempt that belongs to a class. Who knows the digest of all
# answers can try out what they were, so its entry goes with them.
EVENTS: Final = {
    RetentionClass.EVENT_PAYLOADS: (AuditEvent.PROCTORING_EVENTS_RECORDED,),
    RetentionClass.ANSWERS: (
        AuditEvent.ATTEMPT_ANSWERS_SAVED,
        AuditEvent.ATTEMPT_SUBMITTED,
        AuditEvent.ATTEMPT_ENDED,
        AuditEvent.ATTEMPT_TERMINATED,
        # It has digests of the answers without their marks.
        AuditEvent.ATTEMPT_REOPENED,
        AuditEvent.ATTEMPT_GRADED,
    ),
    RetentionClass.ANALYSES: (AuditEvent.ANALYSIS_COMPUTED,),
    RetentionClass.NETWORK_ADDRESSES: (
        AuditEvent.LOGIN_SUCCEEDED,
        AuditEvent.LOGIN_FAILED,
    ),
}
Days = (
    Annotated[
        Integer,
        Field(ge=1, le=36500, description="Days after the attempt or the login ended."),
    ]
    | None
)


class RetentionRules(WireModel):
    """For each class the days that its data are kept; null: for ever."""

    event_payloads: Days
    answers: Days
    analyses: Days
    network_addresses: Days
    accounts: Days = Field(
        description="Days since a student without attempts was seen."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """How much a rule would erase now: attempts, logins or accounts."""

    data_class: RetentionClass
    days: int | None
    due: int


class RetentionService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list_rules(self) -> Sequence[RetentionRule]:
        with self._database.read() as tx:
            return retention.list_rules(tx)

    def change_rules(
        self, admin: Principal, wanted: RetentionRules
    ) -> Sequence[RetentionRule]:
        """Set all rules. What is already so is no change, and leaves no entry."""
        with self._database.transaction() as tx:
            before = {row.data_class: row.days for row in retention.list_rules(tx)}
            after = {each: getattr(wanted, each.value) for each in before}
            changed = [each for each in before if before[each] != after[each]]
            for each in changed:
                retention.set_days(tx, each, after[each], admin.id)
            if changed:
                audit.append(
                    tx,
                    AuditEvent.SETTINGS_CHANGED,
                    "settings",
                    "retention",
                    actor=admin.id,
                    payload={
                        "before": {each.value: before[each] for each in changed},
                        "after": {each.value: after[each] for each in changed},
                    },
                )
        return self.list_rules()

    def preview(self) -> Sequence[Due]:
        """Count what the rules would erase now, up to MANY of each."""
        with self._database.read() as tx:
            erasure.take_time(tx)
            return [
                Due(
                    data_class=rule.data_class,
                    days=rule.days,
                    due=0 if rule.days is None else _count_due(tx, rule, rule.days),
                )
                for rule in retention.list_rules(tx)
            ]

    def run(self) -> int:
        """Erase a little of each class whose rule has yet to be applied today.

        Returns how many transactions that took: 0 when all is done, or when other
        processes are at it. Raises RowsDeviateError; what comes behind waits until
        somebody has found out who changed the row. Raises LegalHoldError for what was
        held at that very moment: who runs it again finds the rest.
        """
        with self._database.read() as tx:
            if not retention.is_any_due(tx):
                return 0
        return sum(map(self._step, RetentionClass))

    def _step(self, data_class: RetentionClass) -> bool:
        with in_our_words(REFUSALS), self._database.transaction() as tx:
            erasure.take_time(tx)
            rule = retention.try_lock_due(tx, data_class)
            if rule is None or rule.days is None:
                return False
            if not _erase_some(tx, data_class, rule.days):
                _finish(tx, data_class, rule.days)
        return True


def _erase_some(tx: Transaction, data_class: RetentionClass, days: int) -> bool:
    """Erase what a rule finds, up to a bound; return whether it found anything."""
    match data_class:
        case RetentionClass.ACCOUNTS:
            idle = retention.list_idle_accounts(tx, days=days, limit=1)
            for user_id in idle:
                why = NewErasure(
                    legal_basis=LEGAL_BASIS,
                    reason=_reason(days),
                    # Nobody looks at them first.
                    erase_mentions=False,
                )
                erase_person(
                    tx,
                    user_id,
                    why,
                    actor_id=audit.SYSTEM_ACTOR_ID,
                    data_class=data_class,
                )
            return bool(idle)
        case RetentionClass.NETWORK_ADDRESSES:
            sessions = retention.list_old_sessions(tx, days=days, limit=LOGINS_AT_ONCE)
            entries = retention.list_old_logins(
                tx, days=days, event_types=EVENTS[data_class], limit=LOGINS_AT_ONCE
            )
            target = Target(session_ids=sessions, classes=[DataClass.NETWORK_ADDRESSES])
        case _:
            attempts = _old_attempts(tx, data_class, days, limit=ATTEMPTS_AT_ONCE)
            entries = retention.list_entries_of_attempts(
                tx, attempts, EVENTS[data_class]
            )
            target = Target(attempt_ids=attempts, classes=[DataClass(data_class.value)])
    if not entries and not target.session_ids:
        return False
    planned = _planned(tx, data_class, days, target, entries)
    erase(tx, target, planned, actor_id=audit.SYSTEM_ACTOR_ID)
    return True


def _old_attempts(
    tx: Transaction, data_class: RetentionClass, days: int, *, limit: int
) -> list[UUID]:
    return retention.list_old_attempts(
        tx,
        days=days,
        event_types=EVENTS[data_class],
        is_for_grading=data_class is RetentionClass.ANSWERS,
        limit=limit,
    )


def _planned(
    tx: Transaction,
    data_class: RetentionClass,
    days: int,
    target: Target,
    entries: Sequence[int],
) -> Erasure:
    facts = ErasureFacts(
        legal_basis=LEGAL_BASIS,
        reason=_reason(days),
        classes=dict(counted(target.classes, erasure.count(tx, target))),
        entries=ranges_of(entries),
        data_class=data_class,
    )
    return Erasure(
        seq=None,
        erased_at=None,
        erased_by=None,
        subject_type=RETENTION,
        subject_id=data_class,
        facts=facts,
    )


def _finish(tx: Transaction, data_class: RetentionClass, days: int) -> None:
    """Say what was erased of the class today, and look at it again tomorrow."""
    is_account = data_class is RetentionClass.ACCOUNTS
    found = retention.tally(
        tx, data_class, DataClass.ACCOUNT if is_account else data_class
    )
    retention.mark_applied(tx, data_class)
    audit.append(
        tx,
        AuditEvent.RETENTION_APPLIED,
        RETENTION,
        data_class,
        actor=audit.SYSTEM,
        payload={"days": days, "erasures": found.erasures, "rows": found.rows},
    )


def _count_due(tx: Transaction, rule: RetentionRule, days: int) -> int:
    match rule.data_class:
        case RetentionClass.ACCOUNTS:
            return len(retention.list_idle_accounts(tx, days=days, limit=MANY))
        case RetentionClass.NETWORK_ADDRESSES:
            return len(retention.list_old_sessions(tx, days=days, limit=MANY)) + len(
                retention.list_old_logins(
                    tx, days=days, event_types=EVENTS[rule.data_class], limit=MANY
                )
            )
        case _:
            return len(_old_attempts(tx, rule.data_class, days, limit=MANY))


def _reason(days: int) -> str:
    return f"kept for {days} days"
