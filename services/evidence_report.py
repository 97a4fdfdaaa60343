"""What a panel reads first: a page about the attempt, and a text about the bundle.

The page loads nothing and runs nothing. It is for reading: what counts is what the
verifier says of the entries.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Final

from pydantic import JsonValue

from models.answer import Answer
from models.audit_event import AuditEvent
from models.evidence import SealedEntry
from models.question import OpenQuestion
from services import evidence_observations, evidence_opinions
from services.evidence_bundle import Material
from services.evidence_facts import facts
from services.evidence_markup import ERASED, bullets, paragraphs, table, text, time
from services.evidence_observations import observations
from services.evidence_opinions import opinions
from services.evidence_timeline import moment_of, timeline

CAN_BE_CLAIMED: Final = (
    "All parts of the bundle agree with each other: nobody has changed it carelessly.",
    (
        "The events, answers and analyses of the bundle are those of its entries, but"
        " for what is named below."
    ),
    (
        "With the verdict 'consistent with anchor': each entry of the timeline is"
        " exactly as it was recorded (its text, its time, its place among the others),"
        " and stood in the log when the witnesses that you trust looked at it; the log"
        " has only grown since."
    ),
)
CAN_NOT_BE_CLAIMED: Final = (
    (
        "That what was recorded is true. An exam client can report wrongly, and a"
        " detector can be mistaken."
    ),
    (
        "That an observation is a violation. A risk score orders attempts for people"
        " to look at; it is no probability and no verdict."
    ),
    (
        "That nothing else happened, or who sat at the keyboard. What is said to be by"
        " the student's login may be another's work, or a program's own."
    ),
    (
        "That no entry of the attempt was left out, beyond the counts that the log's"
        " own entries state, nor what came later."
    ),
    (
        "Without an anchor: that whoever controls the database has not written all of"
        " the log anew."
    ),
    "That the witnesses are independent of whoever runs the system.",
    (
        "That names, texts of questions, points of single answers, comments and the"
        " explanations of analyses are right: the verifier compares none of them."
    ),
    (
        "That this page says what the entries say. It is made from them, but the"
        " verifier checks only the entries."
    ),
)

STYLE: Final = """
body { font: 11pt/1.45 Georgia, serif; color: #111; max-width: 56rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9em; }
td { white-space: pre-wrap; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.5rem;
         border-bottom: 1px solid #bbb; overflow-wrap: anywhere; }
thead { display: table-header-group; } tr { break-inside: avoid; }
code, .number { font-family: monospace; } .note { border: 1px solid #111;
padding: 0.5rem 1rem; }
@page { margin: 18mm; } @media print { body { margin: 0; max-width: none; } }
"""

PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def report(material: Material) -> str:
    """Return the page. Everything in it that somebody wrote is escaped."""
    parts = (
        *_introduction(material),
        *_standing(material),
        "<h2>Timeline</h2>",
        table(("entry", "time (UTC)", "what", "by whom"), timeline(material)),
        "<h2>Answers</h2>",
        table(("question", "answer", "saved (UTC)", "points"), _answers(material)),
        "<h2>Observations</h2>",
        paragraphs(evidence_observations.MEANING),
        table(evidence_observations.HEAD, observations(material)),
        "<h2>Analyses</h2>",
        paragraphs(evidence_opinions.MEANING),
        table(evidence_opinions.HEAD, opinions(material)),
        "<h2>What can be claimed, if the verifier finds no fault</h2>",
        bullets(CAN_BE_CLAIMED),
        "<h2>What can not be claimed</h2>",
        bullets(CAN_NOT_BE_CLAIMED),
    )
    return PAGE.format(
        title=escape(f"Evidence: attempt {material.attempt.id}"),
        style=STYLE,
        body="\n".join(parts),
    )


def readme(material: Material) -> str:
    """Return the text for who opens the ZIP."""
    found = material.attempt
    return f"""EVIDENCE OF ONE EXAM ATTEMPT

Attempt {found.id}
{len(material.entries)} entries of the audit log {material.origin}

report.html      a page to read and to print
entries.jsonl    the entries of the log: this is the evidence
proofs.jsonl     that the entries stand in the log (if there is a checkpoint)
checkpoint.txt   the state of the log, signed by it and by its witnesses (the same)
earlier.jsonl    older states of the log, which this one continues (if there are any)
timestamps.jsonl what authorities of time have stamped of them (if anything)
tsa/             the stamped texts and the authorities' answers (RFC 3161; the same)
policy.txt       whose signatures the operator thinks should count (if he says so)
rows/            the same attempt as the application shows it, for reading
manifest.json    the sizes and SHA-256 of all these files
verify.py        checks all this on any computer with Python 3.8, without internet

HOW TO CHECK IT

1. Take verify.py from the examination board, not from here, if you distrust whoever
   gave you this. The board publishes its SHA-256.
2. Take the policy from the examination board too: it names the keys that count. Keys
   that come in a bundle prove nothing by themselves.
3. Run:  python3 -I -S verify.py BUNDLE.zip --policy POLICY

WHAT IT SAYS

consistent with anchor   the entries are as witnesses saw them
internally consistent    nothing contradicts itself; nobody outside confirms it
incomplete               something is missing, so it shows nothing
tampered                 something was changed; it says what

WHAT IT CAN NOT SAY

""" + "".join(f"- {each}\n" for each in CAN_NOT_BE_CLAIMED)


def _introduction(material: Material) -> Iterator[str]:
    found = material.attempt
    yield f"<h1>Evidence of an exam attempt: {text(found.exam_title)}</h1>"
    told = facts(found).items()
    rows = (
        f'<tr><th scope="row">{text(k)}</th><td>{text(v)}</td></tr>' for k, v in told
    )
    yield f"<table>{''.join(rows)}</table>"
    yield (
        '<p class="note">This page is for reading. What counts is what '
        "<code>verify.py</code> says of the bundle that it came in: see "
        "<code>README.txt</code>.</p>"
    )


def _standing(material: Material) -> Iterator[str]:
    yield "<h2>What stands behind it</h2>"
    first, last = material.entries[0], material.entries[-1]
    yield (
        f"<p>{len(material.entries)} entries of the log"
        f" <code>{text(material.origin)}</code>,"
        f" whose id is <code>{material.log_id.hex()}</code>:"
        f" its first one, and those about this attempt that the server has, up to entry"
        f" {last.seq} of {moment_of(last)} UTC. The log began at {moment_of(first)}"
        " UTC.</p>"
    )
    if material.anchor is None:
        yield (
            "<p><strong>There is no checkpoint yet</strong>: no signed state of the log"
            " covers these entries, so nobody outside confirms them. A bundle that is"
            " made later may have one.</p>"
        )
        return
    covered = len(material.anchor.paths)
    yield (
        f"<p>A checkpoint of the log with {material.anchor.size} entries and the root"
        f" <code>{material.anchor.root.hex()}</code> covers {covered} of them. Who"
        " signed it, and whether the signatures are good, is for the verifier to say."
        "</p>"
    )
    if stamps := material.anchor.stamps:
        asked = ", ".join(text(url) for url in {each.tsa_url: None for each in stamps})
        yield (
            f"<p>Answers of authorities of time ({asked}) over states of the log lie in"
            " <code>tsa/</code>. The verifier says when each claims to be made, and how"
            " to check by whom.</p>"
        )


def _answers(material: Material) -> Iterator[Sequence[str]]:
    asked = {each.id: each for each in material.questions}
    # An erased answer and one that was cleared are both empty; the log tells them apart
    # as long as it has what was saved.
    empty = (
        ERASED
        if _was_erased(material.entries, AuditEvent.ATTEMPT_ANSWERS_SAVED)
        else "(cleared)"
    )
    for answer in sorted(
        material.answers, key=lambda each: asked[each.question_id].position
    ):
        question = asked[answer.question_id]
        yield (
            f"{question.position}. {text(question.text)}",
            text(_response(answer, question, empty)),
            time(answer.saved_at),
            _points(answer, question),
        )


def _points(answer: Answer, question: OpenQuestion) -> str:
    awarded = "open" if answer.points_awarded is None else answer.points_awarded
    lines = [f"{awarded} of {question.points}"]
    if answer.graded_by is not None:
        lines.append(f"graded by hand by staff, {answer.graded_by}")
    if answer.grader_comment is not None:
        lines.append(f"comment: {answer.grader_comment}")
    return "<br>".join(text(each) for each in lines)


def _was_erased(entries: Iterable[SealedEntry], event_type: str) -> bool:
    return any(
        each.payload is None for each in entries if each.event_type == event_type
    )


def _response(answer: Answer, question: OpenQuestion, empty: str) -> str:
    options = question.body.get("options")
    texts = {
        str(option["id"]): str(option["text"])
        for option in (options if isinstance(options, list) else ())
        if isinstance(option, dict)
    }
    if answer.response is None:
        return empty
    given = answer.response if isinstance(answer.response, list) else [answer.response]
    return "; ".join(_chosen(each, texts) for each in given)


def _chosen(value: JsonValue, texts: Mapping[str, str]) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case _:
            return texts.get(str(value), str(value))
