"""The sweeper's job that keeps the attempts' risk up to date."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Final
from uuid import UUID

from models import ai_analysis, analysis_queue, attempt_activity
from models.analysis_queue import Claim
from models.database import Database
from services import audit
from services.analysis_cohort import Cohorts, Prepared
from services.analysis_record import RecordedAnalysis, from_row
from services.analysis_service import judge, store, unless_erased
from services.attempt_errors import EvidenceErasedError
from services.server_events import record_once

# Longer than any analysis takes; if the process dies, another one goes on after it.
LEASE: Final = timedelta(seconds=30)
# A student who switches windows all the time is not analysed all the time.
SPACING: Final = timedelta(seconds=5)
# As many as share one reading of their cohort.
BATCH: Final = 20
SILENCE_CODE: Final = "client.heartbeat_missed"
MISSED_REPORTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    claim: Claim
    prepared: Prepared


class AnalysisJob:
    """Analyses the attempts that are due. One object for one thread."""

    def __init__(self, database: Database, *, spacing: timedelta = SPACING) -> None:
        self._database = database
        self._spacing = spacing
        self._cohorts = Cohorts()

    def run(self) -> int:
        """Analyse one batch, and return how many attempts it was.

        An attempt that can not be analysed keeps its claim, so that it does not stand
        in the way of the others; these are given back. What was said of one whose
        evidence was erased stands.
        """
        with self._database.bookkeeping() as tx:
            attempt_activity.request_analysis(tx, analysis_queue.list_final(tx))
        with self._database.bookkeeping() as tx:
            claims = analysis_queue.claim(
                tx, limit=BATCH, lease=LEASE, spacing=self._spacing
            )
        waiting = deque(_by_exam(claims))
        ready: deque[_Ready] = deque()
        try:
            while waiting:
                ready.extend(self._prepare(*waiting.popleft()))
            while ready:
                self._analyse(ready.popleft())
        finally:
            self._give_back(
                [each.claim for each in ready]
                + [claim for _, exam_claims in waiting for claim in exam_claims]
            )
        return len(claims)

    def _prepare(self, exam_id: UUID, claims: list[Claim]) -> list[_Ready]:
        wanted = [claim.attempt_id for claim in claims]
        with self._database.read() as tx:
            prepared = self._cohorts.prepare(tx, exam_id, wanted)
        ready = []
        for claim in claims:
            if claim.attempt_id in prepared.inputs:
                ready.append(_Ready(claim=claim, prepared=prepared))
            else:
                self._settle(claim)
        return ready

    def _analyse(self, ready: _Ready) -> None:
        claim = ready.claim
        made = judge(ready.prepared, claim.attempt_id)
        with self._database.read() as tx:
            before = ai_analysis.get_latest(tx, claim.attempt_id)
        if before is not None and before.inputs_hash.hex() == made.inputs_hash:
            self._confirm(claim, made)
            return
        try:
            self._store(ready, made)
        except EvidenceErasedError:
            self._settle(claim)
            return
        known = set() if before is None else _similar_to(from_row(before))
        self._request(_similar_to(made) - known)

    def _store(self, ready: _Ready, made: RecordedAnalysis) -> None:
        """Keep an analysis. Raises EvidenceErasedError."""
        attempt_id = made.attempt_id
        with unless_erased(attempt_id), self._database.transaction() as tx:
            store(tx, made, audit.SYSTEM)
            if _was_silent(ready.prepared, made):
                record_once(
                    tx,
                    attempt_id,
                    SILENCE_CODE,
                    {
                        "longest_gap_seconds": made.coverage.longest_gap_seconds,
                        "observed_percent": made.coverage.observed_percent,
                    },
                )
            analysis_queue.settle(tx, ready.claim)

    def _confirm(self, claim: Claim, made: RecordedAnalysis) -> None:
        with self._database.bookkeeping() as tx:
            ai_analysis.confirm(tx, claim.attempt_id, made.created_at)
            analysis_queue.settle(tx, claim)

    def _settle(self, claim: Claim) -> None:
        with self._database.bookkeeping() as tx:
            analysis_queue.settle(tx, claim)

    def _request(self, attempt_ids: set[UUID]) -> None:
        """Have those analysed who have just turned out to be like this one.

        Whoever submitted first was judged before the other had answered.
        """
        if attempt_ids:
            with self._database.bookkeeping() as tx:
                attempt_activity.request_analysis(tx, sorted(attempt_ids))

    def _give_back(self, claims: Sequence[Claim]) -> None:
        if claims:
            with self._database.bookkeeping() as tx:
                analysis_queue.give_back(tx, claims)


def _was_silent(prepared: Prepared, made: RecordedAnalysis) -> bool:
    """Say whether an attempt that has ended was not heard of for too long.

    Three reports that did not come are red, as in SEB's ping: amber, orange, red.
    """
    interval = prepared.basis.policy.expected_report_interval_seconds
    has_ended = prepared.inputs[made.attempt_id].ended_at is not None
    return has_ended and made.coverage.longest_gap_seconds > MISSED_REPORTS * interval


def _by_exam(claims: Sequence[Claim]) -> list[tuple[UUID, list[Claim]]]:
    in_order = sorted(claims, key=lambda claim: claim.exam_id)
    groups = groupby(in_order, key=lambda claim: claim.exam_id)
    return [(exam_id, list(group)) for exam_id, group in groups]


def _similar_to(analysis: RecordedAnalysis) -> set[UUID]:
    return {each.attempt_id for each in analysis.cohort.similar_attempts}
