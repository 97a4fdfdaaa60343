"""Alerts and dashboard ask for what /metrics tells, and every metric is explained."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask

from tests.scraped import Scraped

ROOT = Path(__file__).parent.parent
ALERTS = ROOT / "deploy" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
TESTS = ROOT / "tests" / "alerts.yml"
MANUAL = ROOT / "docs" / "operations.md"

METRIC = re.compile(r"\bproctoring_[a-z_]+")


@pytest.fixture
def exposed(app: Flask) -> set[str]:
    """The names of everything that /metrics tells, labels or not."""
    app.test_client().get("/docs")
    return {name for name in names(app) if name.startswith("proctoring_")}


def names(app: Flask) -> set[str]:
    text = app.test_client().get("/metrics").text
    families = set(re.findall(r"^# TYPE (\S+) counter$", text, re.MULTILINE))
    # Counters that have not counted yet have a family and no sample.
    return Scraped(text).names | families


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        yield from group["rules"]


def panels() -> Iterator[dict[str, Any]]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def test_alerts_ask_for_what_there_is(exposed: set[str]) -> None:
    asked = {name for rule in rules() for name in METRIC.findall(rule["expr"])}

    assert asked
    assert asked - exposed == set()


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", MANUAL.read_text(), re.MULTILINE)
    }
    found = {
        rule["alert"]: rule["annotations"]["runbook"].partition("#")[2]
        for rule in rules()
    }

    assert {name: a for name, a in found.items() if a not in anchors} == {}
    assert {rule["labels"]["severity"] for rule in rules()} == {"page", "ticket"}


def test_the_dashboard_asks_for_what_there_is(exposed: set[str]) -> None:
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    asked = {name for query in queries for name in METRIC.findall(query)}

    assert asked - exposed == set()
    # What nobody looks at need not be measured.
    families = {re.sub(r"_(sum|count|bucket)$", "", name) for name in exposed}
    shown = {re.sub(r"_(sum|count|bucket)$", "", name) for name in asked}
    assert families - shown == {"proctoring_version"}


def test_the_panels_of_the_dashboard_do_not_cover_each_other() -> None:
    cells = [
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], sum_of(panel, "x", "w"))
        for y in range(panel["gridPos"]["y"], sum_of(panel, "y", "h"))
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def sum_of(panel: dict[str, Any], *sides: str) -> int:
    return sum(int(panel["gridPos"][side]) for side in sides)


def test_every_metric_is_explained_and_no_other(exposed: set[str]) -> None:
    explained = set(
        re.findall(r"^\| `(proctoring_[a-z_]+)`", MANUAL.read_text(), re.MULTILINE)
    )
    families = {re.sub(r"_(sum|count|bucket)$", "", name) for name in exposed}

    assert explained == families


def test_prometheus_takes_the_rules_and_they_fire_when_they_should() -> None:
    promtool = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here (Debian: apt-get install prometheus)")

    for question in ("check", ALERTS), ("test", TESTS):
        done = subprocess.run(
            [promtool, question[0], "rules", question[1]],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
