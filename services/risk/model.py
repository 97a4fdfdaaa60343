"""The risk model: explainable, deterministic, versioned. docs/risk-model.md tells why.

It only ever raises a question for a human. Nothing here ends or fails an attempt.
"""

from dataclasses import dataclass
from math import exp, log1p
from uuid import UUID

from services.proctoring_policy import FACTOR_CODES, ProctoringPolicy, RiskLevels
from services.risk import explanation
from services.risk.analysis import (
    Analysis,
    CohortComparison,
    Factor,
    FactorComparison,
    RiskLevel,
)
from services.risk.cohort import (
    Cohort,
    CohortMember,
    Deviation,
    deviation,
    raising,
    tempering,
    timed_answers,
)
from services.risk.coverage import observe
from services.risk.fingerprint import inputs_hash
from services.risk.inputs import AttemptInputs
from services.risk.observations import Evidence, gather
from services.risk.similarity import SimilarAttempt, most_similar
from services.risk.timing import fast_answers
from services.risk.weighting import MODEL_VERSION, Weighting, weighting_of

# No factor is ever certain: the logarithm of its doubt must stay finite.
LARGEST_PROBABILITY = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """A factor before its share of the score is known. `probability` is below 1."""

    code: str
    weight: float
    probability: float
    evidence: tuple[UUID, ...]
    questions: tuple[UUID, ...]
    explanation: str


def measure(
    inputs: AttemptInputs,
    policy: ProctoringPolicy,
    version: str = MODEL_VERSION,
) -> CohortMember:
    """Reduce an attempt to what the analysis of others needs of it.

    Raises UnknownModelVersionError.
    """
    return _member(inputs, gather(inputs, policy, weighting_of(version)), policy)


def analyse(
    inputs: AttemptInputs,
    cohort: Cohort,
    policy: ProctoringPolicy,
    version: str = MODEL_VERSION,
) -> Analysis:
    """Judge one attempt against its exam's policy and the other attempts of the exam.

    `cohort` holds `measure` of the exam's attempts under the same policy and version,
    with or without this one. Raises UnknownModelVersionError.
    """
    weighting = weighting_of(version)
    gathered = gather(inputs, policy, weighting)
    own = _member(inputs, gathered, policy)
    cohort = cohort.including(own)
    peers = cohort.peers_of(inputs.student_id)
    is_compared = len(peers) >= policy.minimum_cohort_size

    comparisons: list[FactorComparison] = []
    findings: list[_Finding] = []
    for code in FACTOR_CODES:
        if code not in gathered:
            continue
        found = None
        if is_compared and gathered[code].exposure > 0:
            others = [each.exposures.get(code, 0.0) for each in peers]
            found = deviation(gathered[code].exposure, others, weighting)
            comparisons.append(_comparison(code, gathered[code], found))
        findings.append(_from_events(code, gathered[code], found, policy, weighting))

    similar: SimilarAttempt | None = None
    if policy.is_similarity_enabled and is_compared:
        similar = most_similar(
            own.answers, cohort, peers, policy.minimum_shared_wrong_answers
        )
    findings.extend(_from_similarity(similar, policy, weighting))
    if policy.is_answer_timing_enabled:
        findings.extend(
            _from_timing(own, cohort, policy, weighting, is_compared=is_compared)
        )

    factors, score = _shared_out(findings)
    observed = observe(inputs, policy)
    confidence = observed.observed_share * observed.received_share
    if not is_compared:
        confidence *= weighting.confidence_without_cohort
    return Analysis(
        attempt_id=inputs.attempt_id,
        model_version=version,
        risk_score=score,
        risk_level=level_of(score, policy.risk_levels),
        confidence=round(confidence, 3),
        factors=factors,
        cohort=CohortComparison(
            size=len(peers),
            is_compared=is_compared,
            factors=tuple(comparisons),
            similar_attempts=() if similar is None else (similar,),
        ),
        coverage=observed.coverage,
        inputs_hash=inputs_hash(inputs, cohort, policy, version),
    )


def level_of(score: float, levels: RiskLevels) -> RiskLevel:
    """Return the highest level whose threshold the score reaches."""
    reached = RiskLevel.NONE
    for level, threshold in (
        (RiskLevel.LOW, levels.low),
        (RiskLevel.MEDIUM, levels.medium),
        (RiskLevel.HIGH, levels.high),
        (RiskLevel.CRITICAL, levels.critical),
    ):
        if score >= threshold and score > 0:
            reached = level
    return reached


def _member(
    inputs: AttemptInputs, gathered: dict[str, Evidence], policy: ProctoringPolicy
) -> CohortMember:
    return CohortMember(
        attempt_id=inputs.attempt_id,
        student_id=inputs.student_id,
        exposures={
            code: evidence.exposure
            for code, evidence in sorted(gathered.items())
            if evidence.exposure > 0
        },
        answers=timed_answers(inputs, policy),
    )


def _comparison(code: str, evidence: Evidence, found: Deviation) -> FactorComparison:
    return FactorComparison(
        code=code,
        value=round(evidence.exposure, 6),
        median=round(found.median, 6),
        spread=round(found.spread, 6),
        robust_z=round(found.robust_z, 3),
    )


def _saturated(exposure: float, scale: float) -> float:
    """Return 0 for nothing, 0.63 at `scale`, and never more than 1."""
    return 1 - exp(-exposure / scale)


def _from_events(
    code: str,
    evidence: Evidence,
    found: Deviation | None,
    policy: ProctoringPolicy,
    weighting: Weighting,
) -> _Finding:
    exposure, share = evidence.exposure, 1.0
    if found is not None:
        exposure *= raising(found.robust_z, weighting)
        share = tempering(found.robust_z, weighting)
    weight = weighting.weight(code, policy)
    strength = _saturated(exposure, weighting.scales[code]) * share
    shown = evidence.counted or evidence.uncounted
    return _Finding(
        code=code,
        weight=weight,
        probability=weight * strength,
        evidence=tuple(each.event_id for each in shown),
        questions=(),
        explanation=explanation.of_events(evidence, found, weighting),
    )


def _from_similarity(
    similar: SimilarAttempt | None, policy: ProctoringPolicy, weighting: Weighting
) -> tuple[_Finding, ...]:
    if similar is None:
        return ()
    exposure = weighting.similarity_starts_at_log10 - similar.log10_probability
    if exposure <= 0:
        return ()
    code = "answer_similarity"
    weight = weighting.weight(code, policy)
    return (
        _Finding(
            code=code,
            weight=weight,
            probability=weight * _saturated(exposure, weighting.scales[code]),
            evidence=(),
            questions=similar.question_ids,
            explanation=explanation.of_similarity(similar),
        ),
    )


def _from_timing(
    own: CohortMember,
    cohort: Cohort,
    policy: ProctoringPolicy,
    weighting: Weighting,
    *,
    is_compared: bool,
) -> tuple[_Finding, ...]:
    fast = fast_answers(own.answers, cohort, policy, is_compared=is_compared)
    if fast.excess < policy.repeat_count:
        return ()
    code = "answer_timing"
    weight = weighting.weight(code, policy)
    exposure = weighting.fast_answer_height * fast.excess
    return (
        _Finding(
            code=code,
            weight=weight,
            probability=weight * _saturated(exposure, weighting.scales[code]),
            evidence=(),
            questions=fast.right,
            explanation=explanation.of_timing(fast, policy, is_compared=is_compared),
        ),
    )


def _shared_out(findings: list[_Finding]) -> tuple[tuple[Factor, ...], float]:
    """Combine by noisy-or, and share the score out among the factors.

    The shares are those of the logarithms of what each factor leaves of doubt, which
    add up where the probabilities do not. They are rounded to hundredths by the largest
    remainder, so that they sum to the score exactly.
    """
    doubts = [-log1p(-min(each.probability, LARGEST_PROBABILITY)) for each in findings]
    doubt = sum(doubts)
    hundredths = round(10_000 * (1 - exp(-doubt)))
    exact = [hundredths * each / doubt if doubt else 0.0 for each in doubts]
    shares = [int(each) for each in exact]
    by_remainder = sorted(
        range(len(exact)), key=lambda i: (shares[i] - exact[i], findings[i].code)
    )
    for index in by_remainder[: hundredths - sum(shares)]:
        shares[index] += 1
    factors = [
        Factor(
            code=each.code,
            weight=each.weight,
            contribution=share / 100,
            evidence=each.evidence,
            questions=each.questions,
            explanation=each.explanation,
        )
        for each, share in zip(findings, shares, strict=True)
    ]
    factors.sort(key=lambda each: (-each.contribution, each.code))
    return tuple(factors), hundredths / 100
