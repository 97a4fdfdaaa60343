"""What the page of a bundle tells of each analysis: its reasons beside its number."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from models.ai_analysis import AiAnalysis
from services.analysis_record import ERASED_INPUTS
from services.evidence_bundle import Material
from services.evidence_markup import ERASED, text, time

HEAD: Final = (
    "time (UTC)",
    "score",
    "level",
    "confidence",
    "reasons, with their share of the score",
    "how much was observed",
)
MEANING: Final = (
    (
        "The score, 0 to 100, orders attempts for people to look at. It is no"
        " probability and no verdict: a computer's opinion on what was reported, by the"
        " rules of the exam. Each is of what was known then; the last one that is no"
        " trial counts. The level is the score in words."
    ),
    (
        "The confidence, 0 to 1, says how much of the attempt was observed and compared"
        " with others. It does not say how sure anybody is that the student did"
        " anything."
    ),
)


def opinions(material: Material) -> Iterator[Sequence[str]]:
    for analysis in material.analyses:
        kind = "" if analysis.is_official else " (a trial)"
        yield (
            time(analysis.created_at) + kind,
            f"{analysis.risk_score} of 100, model {text(analysis.model_version)}",
            text(analysis.risk_level),
            str(analysis.confidence),
            "<br>".join(text(each) for each in _reasons(analysis)),
            text(_coverage(analysis.result.get("coverage"))),
        )


def _reasons(analysis: AiAnalysis) -> Iterator[str]:
    # Whoever can change the rows may leave anything there, and there is a bundle still.
    factors = analysis.result.get("factors")
    if isinstance(factors, list) and factors:
        for each in factors:
            if isinstance(each, Mapping):
                yield f"{each.get('contribution')} points: {each.get('explanation')}"
    elif analysis.inputs_hash == ERASED_INPUTS:
        yield ERASED
    else:
        yield "nothing"


def _coverage(found: JsonValue) -> str:
    if not isinstance(found, Mapping):
        return ""
    observed, gap = found.get("observed_percent"), found.get("longest_gap_seconds")
    told = f"{observed:g} %" if isinstance(observed, int | float) else "?"
    longest = f"{gap:g}" if isinstance(gap, int | float) else "?"
    return (
        f"{told} of the time; longest gap {longest} s; numbered reports that are not on"
        f" record: {found.get('missing_events')}"
    )
