"""What the risk model says of an attempt: computed, kept and read."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Literal
from uuid import UUID

from models import ai_analysis
from models.ai_analysis import RankedAttempt
from models.audit_event import AuditEvent
from models.database import Database
from models.page import Page, paged
from models.principal import Principal, Role
from models.transaction import Transaction
from services import analysis_record, audit, errors
from services.access import require_exam
from services.analysis_cohort import Prepared, prepare_anew
from services.analysis_record import RecordedAnalysis, StoredFactor
from services.attempt_access import require_attempt
from services.attempt_errors import EvidenceErasedError
from services.errors import in_our_words
from services.proctoring_policy import ProctoringPolicy
from services.risk import MODEL_VERSION, UnknownModelVersionError, analyse

# Enough to see why an attempt is in the list.
MAX_REASONS = 3


class AnalysisNotFoundError(errors.NotFoundError):
    slug = "analysis-not-found"
    title = "No analysis yet"

    def __init__(self, attempt_id: UUID) -> None:
        super().__init__(
            f"Attempt {attempt_id} has no such analysis. The first one is made within "
            "seconds of its start."
        )


class UnknownVersionError(errors.UnprocessableError):
    slug = "unknown-model-version"
    title = "Unknown model version"

    def __init__(self, cause: UnknownModelVersionError) -> None:
        super().__init__(str(cause), [("#/model_version", "Is no version of ours.")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    analysis: RecordedAnalysis
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspiciousAttempt:
    attempt: RankedAttempt
    reasons: Sequence[StoredFactor]


class AnalysisService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def compute(
        self,
        admin: Principal,
        attempt_id: UUID,
        *,
        policy: ProctoringPolicy | None,
        model_version: str | None,
    ) -> Computed:
        """Analyse an attempt now, from nothing but the database.

        With a policy or a version of one's own it is a trial, which changes nothing
        of the attempt's risk. The same inputs give the analysis that is there.
        Raises AttemptNotFoundError, UnknownVersionError and EvidenceErasedError.
        """
        version = model_version or MODEL_VERSION
        is_trial = policy is not None or version != MODEL_VERSION
        with self._database.read() as tx:
            subject = require_attempt(tx, admin, attempt_id)
            try:
                prepared = prepare_anew(
                    tx, subject.exam_id, attempt_id, policy, version
                )
            except UnknownModelVersionError as error:
                raise UnknownVersionError(error) from error
        if attempt_id not in prepared.inputs:
            raise EvidenceErasedError(attempt_id)
        made = judge(
            prepared,
            attempt_id,
            version=version,
            trial=prepared.basis.policy if is_trial else None,
        )
        with unless_erased(attempt_id), self._database.transaction() as tx:
            known = _known(tx, made)
            if known is None:
                store(tx, made, admin.id)
        return Computed(analysis=known or made, is_new=known is None)

    def read_latest(
        self, staff: Principal, attempt_id: UUID, model_version: str | None
    ) -> RecordedAnalysis:
        """Raise AttemptNotFoundError or AnalysisNotFoundError."""
        with self._database.read() as tx:
            require_attempt(tx, staff, attempt_id)
            row = ai_analysis.get_latest(tx, attempt_id, model_version)
        if row is None:
            raise AnalysisNotFoundError(attempt_id)
        return analysis_record.from_row(row)

    def list_history(
        self,
        staff: Principal,
        attempt_id: UUID,
        *,
        limit: int,
        before: tuple[datetime, UUID] | None,
    ) -> Page[RecordedAnalysis]:
        """Read all analyses of an attempt, trials too, the newest first."""
        with self._database.read() as tx:
            require_attempt(tx, staff, attempt_id)
            rows = ai_analysis.list_page(tx, attempt_id, limit=limit + 1, before=before)
        analyses = [analysis_record.from_row(row) for row in rows]
        return paged(analyses, limit, lambda each: (each.created_at, each.id))

    def list_suspicious(
        self,
        staff: Principal,
        *,
        exam_id: UUID | None,
        min_risk: Decimal,
        limit: int,
        below: tuple[Decimal, UUID] | None,
    ) -> Page[SuspiciousAttempt]:
        """Read attempts by risk, the highest first, each with its weightiest reasons.

        A proctor gets those of his exams. Nobody reads here why his own attempt is
        suspected. Raises ExamNotFoundError.
        """
        with self._database.read() as tx:
            if exam_id is not None:
                require_exam(tx, staff, exam_id)
            rows = ai_analysis.list_by_risk(
                tx,
                min_risk=min_risk,
                limit=limit + 1,
                exam_id=exam_id,
                proctor_id=staff.id if staff.role is Role.PROCTOR else None,
                below=below,
            )
        found = [
            SuspiciousAttempt(
                attempt=row,
                reasons=() if row.student_id == staff.id else _reasons(row),
            )
            for row in rows
        ]
        return paged(
            found,
            limit,
            # As text, which keeps the decimal exact.
            lambda each: (str(each.attempt.risk_score), each.attempt.attempt_id),
        )


def judge(
    prepared: Prepared,
    attempt_id: UUID,
    *,
    version: str = MODEL_VERSION,
    trial: ProctoringPolicy | None = None,
) -> RecordedAnalysis:
    """Have the model judge one of the attempts that were prepared."""
    made = analyse(
        prepared.inputs[attempt_id], prepared.cohort, prepared.basis.policy, version
    )
    return analysis_record.from_model(made, created_at=prepared.now, trial=trial)


def unless_erased(attempt_id: UUID) -> AbstractContextManager[None]:
    """Stands around the transaction. Raises EvidenceErasedError."""
    refusal = partial(EvidenceErasedError, attempt_id)
    return in_our_words({"ai_analyses_evidence_erased": refusal})


def store(
    tx: Transaction,
    made: RecordedAnalysis,
    actor: UUID | Literal[audit.Actor.SYSTEM],
) -> None:
    """Keep an analysis; an official one becomes the attempt's risk.

    Inside of `unless_erased`: its inputs may have been erased meanwhile.
    """
    row = analysis_record.to_row(made)
    ai_analysis.insert(tx, row)
    if made.is_official:
        ai_analysis.point_at(tx, row)
    audit.append(
        tx,
        AuditEvent.ANALYSIS_COMPUTED,
        "analysis",
        made.id,
        actor=actor,
        attempt_id=made.attempt_id,
        payload={
            "is_official": made.is_official,
            "model_version": made.model_version,
            "risk_score": made.risk_score,
            "risk_level": made.risk_level,
            "confidence": made.confidence,
            "factors": [
                {
                    "code": each.code,
                    "weight": each.weight,
                    "contribution": each.contribution,
                    "evidence_count": each.evidence_count,
                }
                for each in made.factors
            ],
            "inputs_hash": made.inputs_hash,
            "policy": made.policy,
        },
    )


def _known(tx: Transaction, made: RecordedAnalysis) -> RecordedAnalysis | None:
    inputs_hash = bytes.fromhex(made.inputs_hash)
    if made.is_official:
        row = ai_analysis.get_latest(tx, made.attempt_id)
        row = row if row is not None and row.inputs_hash == inputs_hash else None
    else:
        row = ai_analysis.find_trial(tx, made.attempt_id, inputs_hash)
    return None if row is None else analysis_record.from_row(row)


def _reasons(row: RankedAttempt) -> Sequence[StoredFactor]:
    # They are stored by contribution, the highest first.
    factors = analysis_record.read_result(row.result).factors
    return [each for each in factors if each.contribution > 0][:MAX_REASONS]
