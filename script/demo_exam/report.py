"""The final screen: results, suspicions against the truth, what was promised."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.console import Console
from rich.table import Table
from rich.text import Text

from script.demo_exam.cast import Student
from script.demo_exam.findings import Check, ExamResults, Findings
from script.demo_exam.replies import Suspect
from script.demo_exam.screen import STYLES
from script.demo_exam.show import Show
from services.proctoring_policy import RiskLevels

ALARMING = RiskLevels().high
NAMED_AT_MOST = 5
KINDS_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An attempt's risk, and whether its student was cheating in truth."""

    student: Student
    suspect: Suspect

    @property
    def is_alarming(self) -> bool:
        return self.suspect.risk_score >= ALARMING

    @property
    def outcome(self) -> Text:
        if self.student.is_cheating:
            caught = Text("✓ caught", "green")
            return caught if self.is_alarming else Text("✗ missed", "yellow")
        return Text("✗ false alarm", "red")


def print_report(show: Show, findings: Findings, console: Console) -> None:
    console.rule(
        f"[bold]{len(show.journeys)} students, {len(findings.exams)} exams, "
        f"{show.pace.speed:g} times life, seed {show.options.seed}"
    )
    console.print(_results(findings.exams))
    students = {each.student.email: each.student for each in show.journeys}
    judged = [
        Judged(student=students[each.student_email], suspect=each)
        for each in findings.suspects
    ]
    console.print(_suspicious(judged))
    console.print(_quality(judged), highlight=False)
    console.print(
        f"Times in the reasons are as the server measured them: 1 s is "
        f"{show.pace.speed:g} s of life.",
        highlight=False,
    )
    console.print()
    console.print(_promises(findings.checks))
    console.print(_verdict(findings), highlight=False)


def _results(exams: Sequence[ExamResults]) -> Table:
    table = Table(title="Results", title_justify="left")
    table.add_column("exam")
    for column in ("attempts", "mean", "passed", "submitted", "ended by the clock"):
        table.add_column(column, justify="right")
    for exam in exams:
        rows = exam.results
        percents = [each.percent for each in rows if each.percent is not None]
        table.add_row(
            exam.sitting.title,
            str(len(rows)),
            f"{fmean(percents):.1f} %" if percents else "",
            str(sum(each.is_passed is True for each in rows)),
            str(sum(each.ended_by == "student" for each in rows)),
            str(sum(each.ended_by == "deadline" for each in rows)),
        )
    return table


def _suspicious(judged: Sequence[Judged]) -> Table:
    table = Table(
        title=f"Suspicious (risk {ALARMING:g} or more) against the truth",
        title_justify="left",
    )
    for column in ("", "student", "exam", "risk", "in truth"):
        table.add_column(column, no_wrap=True)
    table.add_column("first reason, as the student reads it")
    for each in judged:
        if not (each.is_alarming or each.student.is_cheating):
            continue
        suspect = each.suspect
        table.add_row(
            each.outcome,
            suspect.student_name,
            suspect.exam_title,
            Text(
                f"{suspect.risk_score:5.1f} {suspect.risk_level}",
                STYLES.get(suspect.risk_level, ""),
            ),
            each.student.behaviour.replace("_", " "),
            suspect.reasons[0].explanation if suspect.reasons else "",
        )
    return table


def _quality(judged: Sequence[Judged]) -> Text:
    caught = sum(each.is_alarming and each.student.is_cheating for each in judged)
    alarms = sum(each.is_alarming for each in judged)
    cheating = sum(each.student.is_cheating for each in judged)
    false = alarms - caught
    return Text.assemble(
        ("Precision ", "bold"),
        f"{caught}/{alarms}",
        ("   recall ", "bold"),
        f"{caught}/{cheating}",
        ("   false alarms ", "bold"),
        f"{false} of {len(judged) - cheating} honest students.",
        " One run is an anecdote: docs/risk-model.md has the figures of many.",
    )


def _promises(checks: Sequence[Check]) -> Table:
    table = Table(title="What was promised", title_justify="left", show_header=False)
    for check in checks:
        broken = ", ".join(check.broken[:NAMED_AT_MOST])
        table.add_row(
            Text("✓", "green") if check.is_kept else Text("✗", "bold red"),
            check.promise,
            check.detail if check.is_kept else Text(broken, "red"),
        )
    return table


def _verdict(findings: Findings) -> Text:
    found = findings.verification
    kinds = sorted(findings.summary.event_types, key=lambda each: -each.entries)
    named = [f"{each.entries:,} {each.event_type}" for each in kinds[:KINDS_NAMED]]
    unchecked = [c.name for c in found.checks if c.result == "not_checked"]
    return Text.assemble(
        ("Audit log ", "bold"),
        f"{found.entries_checked:,} entries verified in {found.duration_ms} ms: ",
        (found.verdict.replace("_", " "), "green" if found.valid else "bold red"),
        f", head {(found.head_hash or '')[:16]}…\n",
        f"{', '.join(named)}, and {max(0, len(kinds) - KINDS_NAMED)} other kinds.\n",
        "That is what the database can say of itself; who owns it could write it all "
        "anew. Compare the head with one that was kept elsewhere.\n",
        f"Not checked: {', '.join(unchecked)}." if unchecked else "",
    )
