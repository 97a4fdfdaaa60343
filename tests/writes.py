"""A request for every endpoint that writes, which succeeds in the scene."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from flask import Flask
from werkzeug.test import TestResponse

from tests.exams import TRUE_FALSE, Json, new_exam
from tests.personas import PASSWORD
from tests.reports import observed
from tests.scene import Cast

REASON: Json = {"reason": "a fire alarm"}
NEW_PASSWORD = "another horse battery staple"
# To an exam whose version nobody else changes.
ANY_VERSION = {"If-Match": "*"}
# Only the rules that ProctoringPolicy does not have by default.
OTHER_POLICY: Json = {"policy": {"debounce_seconds": 30}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request. Its path is of the endpoint; its ids are the scene's."""

    who: str
    body: Callable[[Cast], Json] | Json | None = None
    # For a variable of the path, another id of the scene than the one of its name.
    ids: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    # A body that is no JSON, and its type.
    text: tuple[str, str] | None = None
    # Whether it concerns something that is `who`'s and not everybody's of his role.
    is_owned: bool = False

    def send(self, app: Flask, cast: Cast, who: str | None = None) -> TestResponse:
        """Send it for whom it is written, or for somebody else."""
        endpoint = next(name for name, each in WRITES.items() if each is self)
        (rule,) = app.url_map.iter_rules(endpoint)
        method = next(iter((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        content = self.body(cast) if callable(self.body) else self.body
        headers = {**cast.headers(who or self.who), **self.headers}
        path = re.sub(
            r"<(?:\w+:)?(\w+)>",
            lambda match: cast.ids[self.ids.get(match[1], match[1])],
            rule.rule,
        )
        client = app.test_client()
        if self.text is not None:
            media_type, text = self.text
            return client.open(
                path,
                method=method,
                data=text,
                content_type=media_type,
                headers=headers,
            )
        return client.open(path, method=method, json=content, headers=headers)


def _staff_step(name: str = "attempt_id", who: str = "bob", **more: object) -> Write:
    return Write(
        who=who, ids={"attempt_id": name}, body=REASON | more, is_owned=who == "bob"
    )


def _answers(cast: Cast) -> Json:
    answer = {
        "question_id": cast.paper["questions"][-1]["id"],
        "response": "A handshake has three steps.",
        "client_version": 1,
    }
    return {"answers": [answer]}


def _grades(cast: Cast) -> Json:
    return {"grades": [{"question_id": cast.ids["essay_id"], "points": 4.5}]}


def _fields(_: Cast) -> Json:
    fields = new_exam(
        description="",
        instructions="",
        passing_score_percent=60,
        shuffle_questions=True,
        shuffle_options=True,
        max_attempts=1,
        proctoring={},
    )
    del fields["questions"]
    return fields


DRAFT = {"exam_id": "draft_exam_id", "question_id": "draft_question_id"}
ACCOUNT: Json = {
    "email": "new@example.edu",
    "password": NEW_PASSWORD,
    "full_name": "New Example",
}

WRITES: Mapping[str, Write] = {
    "auth.register": Write(who="anonymous", body=ACCOUNT),
    "auth.login": Write(
        who="anonymous", body={"email": "alice@example.edu", "password": PASSWORD}
    ),
    "auth.refresh": Write(
        who="anonymous", body=lambda cast: {"refresh_token": cast.tokens["wrong_kind"]}
    ),
    "auth.logout": Write(who="alice"),
    "auth.change_password": Write(
        who="alice",
        body={"current_password": PASSWORD, "new_password": NEW_PASSWORD},
    ),
    "auth.end_session": Write(who="alice", is_owned=True),
    # She has logged in twice.
    "auth.end_other_sessions": Write(who="mallory"),
    "users.create_user": Write(who="ada", body=ACCOUNT | {"role": "proctor"}),
    "users.change_user": Write(who="ada", body={"full_name": "Alice Changed"}),
    "users.reset_password": Write(who="ada", body={"new_password": NEW_PASSWORD}),
    # Who has no attempt, and nobody is held.
    "erasures.erase_user": Write(
        who="ada",
        ids={"user_id": "stranger_id"},
        body={
            "legal_basis": "GDPR Art. 17(1)(a)",
            "reason": "asked for in a letter",
            "erase_mentions": False,
        },
    ),
    "legal_holds.place_hold": Write(
        who="ada",
        body=lambda cast: REASON | {"attempt_id": cast.ids["submitted_attempt_id"]},
    ),
    "legal_holds.release_hold": Write(who="ada", body=REASON),
    "retention.change_rules": Write(
        who="ada",
        body={
            "event_payloads": 365,
            "answers": 730,
            "analyses": None,
            "network_addresses": 30,
            "accounts": None,
        },
    ),
    "exams.create_exam": Write(who="ada", body=lambda _: new_exam()),
    "exams.duplicate_exam": Write(who="ada"),
    "exams.replace_exam": Write(
        who="ada", ids=DRAFT, headers=ANY_VERSION, body=_fields
    ),
    "exams.change_status": Write(
        who="ada", ids={"exam_id": "other_exam_id"}, body={"status": "completed"}
    ),
    "exams.delete_exam": Write(who="ada", ids=DRAFT),
    "questions.replace_questions": Write(
        who="ada", ids=DRAFT, headers=ANY_VERSION, body={"questions": [TRUE_FALSE]}
    ),
    "questions.append_question": Write(who="ada", ids=DRAFT, body=TRUE_FALSE),
    "questions.import_questions": Write(
        who="ada", ids=DRAFT, text=("text/plain", "UDP is reliable.{F}\n")
    ),
    "questions.replace_question": Write(
        who="ada", ids=DRAFT, headers=ANY_VERSION, body=TRUE_FALSE
    ),
    "questions.delete_question": Write(who="ada", ids=DRAFT),
    "assignments.assign_students": Write(
        who="ada", body=lambda cast: {"student_ids": [str(cast["mallory"].id)]}
    ),
    "assignments.change_accommodation": Write(
        who="ada", body={"extra_time_minutes": 15}
    ),
    "assignments.unassign_student": Write(
        who="ada", ids={"student_id": "idle_student_id"}
    ),
    "assignments.assign_proctors": Write(
        who="ada", body=lambda cast: {"proctor_ids": [str(cast["oscar"].id)]}
    ),
    "assignments.unassign_proctor": Write(who="ada"),
    "attempts.start_attempt": Write(who="carol", is_owned=True),
    "attempts.save_answers": Write(who="alice", body=_answers, is_owned=True),
    "attempts.submit_attempt": Write(who="alice", is_owned=True),
    "attempt_actions.pause_attempt": _staff_step(),
    "attempt_actions.resume_attempt": _staff_step("paused_attempt_id"),
    "attempt_actions.extend_attempt": _staff_step(minutes=5),
    "attempt_actions.terminate_attempt": _staff_step(),
    "attempt_actions.reopen_attempt": _staff_step("terminated_attempt_id", who="ada"),
    "attempt_actions.void_attempt": _staff_step(who="ada"),
    "attempt_actions.grade_answers": Write(
        who="bob",
        ids={"attempt_id": "submitted_attempt_id"},
        body=_grades,
        is_owned=True,
    ),
    "proctoring.record_event": Write(
        who="alice",
        body=lambda cast: observed(3) | {"attempt_id": cast.ids["attempt_id"]},
        is_owned=True,
    ),
    "proctoring.record_events": Write(
        who="alice",
        body=lambda cast: {
            "attempt_id": cast.ids["attempt_id"],
            "events": [observed(3), observed(4, client_event_id=str(uuid4()))],
        },
        is_owned=True,
    ),
    "attempt_actions.grant_extra_time": Write(
        who="ada", body=REASON | {"incident": "the fire alarm", "minutes": 10}
    ),
    "analysis.compute_analysis": Write(who="ada", body=OTHER_POLICY),
    "analysis.record_note": Write(
        who="bob", body={"text": "He asked for water."}, is_owned=True
    ),
    "appeals.lodge_appeal": Write(
        who="greta",
        ids={"attempt_id": "guilty_attempt_id"},
        body={"reason": "It was my brother who came in."},
        is_owned=True,
    ),
    "appeals.withdraw_appeal": Write(
        who="peter", ids={"attempt_id": "appealed_attempt_id"}, is_owned=True
    ),
    "appeals.take_appeal": Write(who="bob", is_owned=True),
    "appeals.decide_appeal": Write(
        who="bob",
        ids={"appeal_id": "contested_appeal_id"},
        body=REASON | {"outcome": "overturned"},
        is_owned=True,
    ),
    "verifications.start_verification": Write(who="ada", body={"deep": True}),
    # Its process has died.
    "verifications.cancel_verification": Write(who="ada"),
    "analysis.review_attempt": Write(
        who="bob",
        ids={"attempt_id": "submitted_attempt_id"},
        body={"status": "in_review"},
        is_owned=True,
    ),
}
