"""A morning as a table on the terminal, as JSON, and as one HTML page with charts."""

import html
import json
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.morning.charts import bars, over_time
from bench.morning.conductor import Outcome, Seen
from bench.morning.measures import machine

# Any: a JSON document, made here and read again by history.py.
Record = dict[str, Any]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
th, td { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
.bad { color: #b00020; font-weight: 600 }
svg { max-width: 100%; height: auto }
"""
NOTHING_WRONG = (
    "Nothing acknowledged is lost, nothing is there twice, everybody has one attempt, "
    "and the audit log is whole."
)
HEADINGS = (
    *("what", "number", "p50 ms", "p95 ms", "p99 ms", "longest ms"),
    *("served p99 ms", "put off", "failed"),
)


def record_of(outcome: Outcome, extra: Record) -> Record:
    """Return all that is kept of a run, ready for JSON."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "is_changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "machine": machine() | {"python": platform.python_version()},
        "plan": asdict(outcome.plan),
        "load": outcome.load,
        "phases": [asdict(seen) for seen in outcome.phases],
        "client_lateness_p99": outcome.client_lateness_p99,
        "resident_mib": outcome.resident_mib,
        "left_out": outcome.left_out,
        "wrong": list(outcome.wrong),
        "unfinished": len(outcome.unfinished),
        **extra,
    }


def _git(*arguments: str) -> str:
    found = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def _cells(seen: Seen) -> list[list[str]]:
    return [
        [
            action,
            f"{found.count:,}",
            *(f"{ms:,.0f}" for ms in (found.p50, found.p95, found.p99, found.longest)),
            f"{found.served_p99:,.0f}",
            f"{found.put_off:,}",
            f"{found.failed:,}",
        ]
        for action, found in seen.latencies.items()
    ]


def _summary(seen: Seen) -> str:
    cores = ", ".join(f"{name} {used:.2f}" for name, used in seen.cores.items())
    statuses = ", ".join(
        f"{count:,} of {code}" for code, count in seen.statuses.items()
    )
    return (
        f"{seen.requests_per_second:,.0f} requests/s at {seen.cpu_ms_per_request:.2f}"
        f" ms of processor each; cores: {cores}; answers: {statuses}"
    )


def _conditions(outcome: Outcome, record: Record) -> str:
    on = record["machine"]
    changed = " and changes" if record["is_changed"] else ""
    return (
        f"{record['when']}, commit {record['commit'] or 'unknown'}{changed};"
        f" {on['cores']} cores of {on['cpu']}, {on['memory_gib']} GiB, Python"
        f" {on['python']}; load {outcome.load[0]} before and {outcome.load[1]} after;"
        f" {outcome.left_out:,} reports came with a later one;"
        f" the clients woke up {outcome.client_lateness_p99} ms late (p99); workers"
        f" {outcome.resident_mib} MiB"
    )


def verdict(outcome: Outcome) -> list[str]:
    """Return what is wrong, or one line that says that nothing is."""
    if outcome.wrong or outcome.unfinished:
        return [*outcome.wrong[:20], *outcome.unfinished[:20]]
    return [NOTHING_WRONG]


def show(outcome: Outcome, record: Record) -> None:
    console = Console(width=130)
    for seen in outcome.phases:
        table = Table(
            title=f"{seen.phase.name}, {seen.phase.ends - seen.phase.begins:g} s"
        )
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if heading == "what" else "right")
        for row in _cells(seen):
            table.add_row(*row)
        console.print(table)
        console.print(_summary(seen), end="\n\n")
    for name in ("bcrypt", "storm"):
        if name in record:
            console.print(f"{name}: {record[name]}")
    console.print(_conditions(outcome, record))
    for line in verdict(outcome):
        console.print(line, style="red" if outcome.wrong else "green", markup=False)


def write(outcome: Outcome, record: Record, directory: Path) -> Path:
    """Write result.json, the charts, and report.html, whose path is returned."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "result.json").write_text(json.dumps(record, indent=1))
    charts = {
        "latency.svg": over_time(outcome.samples, outcome.plan.phases),
        "processors.svg": bars({s.phase.name: s.cores for s in outcome.phases}),
    }
    for name, svg in charts.items():
        (directory / name).write_text(svg)
    page = directory / "report.html"
    page.write_text(_page(outcome, record, list(charts.values())))
    return page


def _page(outcome: Outcome, record: Record, charts: list[str]) -> str:
    plan = outcome.plan
    density = f"{plan.compression:g} times as dense as life"
    title = f"{plan.name}: {plan.students:,} students, {density}"
    tables = []
    for seen in outcome.phases:
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in _cells(seen)
        )
        headings = "".join(f"<th>{heading}</th>" for heading in HEADINGS)
        tables.append(
            f"<h2>{seen.phase.name}</h2><table><tr>{headings}</tr>{rows}</table>"
            f"<p>{html.escape(_summary(seen))}</p>"
        )
    mark = ' class="bad"' if outcome.wrong or outcome.unfinished else ""
    lines = "".join(f"<p{mark}>{html.escape(line)}</p>" for line in verdict(outcome))
    notes = "".join(
        f"<p>{name}: {html.escape(str(record[name]))}</p>"
        for name in ("bcrypt", "storm")
        if name in record
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style><h1>{title}</h1>"
        f"<p>{html.escape(_conditions(outcome, record))}</p>{lines}{notes}"
        f"{''.join(charts)}{''.join(tables)}</html>\n"
    )
