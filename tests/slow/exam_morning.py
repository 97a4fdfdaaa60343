"""Students over HTTP who write down what was acknowledged to them.

Every request is sent again until it is answered, as a browser on a bad network would:
an error or a time-out is *unknown*, never failed (Jepsen's rule), so whatever is sent
again has to be idempotent.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import requests

from tests.exams import Json
from tests.reports import observed

PASSWORD = "a long and lonely password 1"
PATIENCE_SECONDS = 90.0
# Also what nginx says while a host does not answer.
RETRIED = frozenset({429, 502, 503, 504})


class UnexpectedAnswerError(Exception):
    """An answer that no student should ever get."""


@dataclass(slots=True)
class Client:
    """One person's HTTP client."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)
    # Why something had to be sent again: a status, or the name of an error.
    retries: Counter[str] = field(default_factory=Counter)

    def send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        good: tuple[int, ...] = (200, 201, 204),
    ) -> requests.Response:
        """Send until there is an answer other than «try again»."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                response = self.session.request(
                    method, self.url + path, json=body, timeout=15
                )
            except requests.RequestException as error:
                response, reason = None, type(error).__name__
            if response is not None and response.status_code in good:
                return response
            if response is not None and response.status_code not in RETRIED:
                raise UnexpectedAnswerError(
                    f"{method} {path}: {response.status_code} {response.text[:500]}"
                )
            if time.monotonic() > deadline:
                raise UnexpectedAnswerError(f"{method} {path}: no answer")
            self.retries[reason if response is None else str(response.status_code)] += 1
            time.sleep(0.2)

    def log_in(self, email: str, password: str = PASSWORD) -> None:
        found = self.send(
            "POST", "/api/auth/login", {"email": email, "password": password}
        ).json()
        self.session.headers["Authorization"] = f"Bearer {found['access_token']}"


@dataclass(slots=True)
class Acknowledged:
    """What one student was told is done."""

    email: str
    attempt_ids: set[str] = field(default_factory=set)
    # client_event_id → audit_seq
    events: dict[str, int] = field(default_factory=dict)
    # question_id → client_version
    answers: dict[str, int] = field(default_factory=dict)
    receipt: Json | None = None
    retries: Counter[str] = field(default_factory=Counter)


def retries_of(everything: Iterable[Acknowledged]) -> Counter[str]:
    """Count why anything had to be sent again, of all students together."""
    return sum((done.retries for done in everything), Counter())


# Makes the client that speaks to an address.
Connect = Callable[[str], Client]


def sit_exam(
    url: str,
    email: str,
    exam_id: str,
    *,
    rounds: int = 4,
    pause_seconds: float = 0,
    connect: Connect = Client,
) -> Acknowledged:
    """Log in, start, save and report `rounds` times, submit."""
    client = connect(url)
    client.log_in(email)
    done = Acknowledged(email, retries=client.retries)
    attempt = client.send("POST", f"/api/exams/{exam_id}/start", {}).json()
    done.attempt_ids.add(attempt["id"])
    sequence = 1
    for round_number in range(1, rounds + 1):
        time.sleep(pause_seconds)
        question = attempt["questions"][round_number % len(attempt["questions"])]
        answers = {
            "answers": [
                {
                    "question_id": question["id"],
                    "response": question["options"][0]["id"],
                    "client_version": round_number,
                }
            ]
        }
        path = f"/api/exams/attempts/{attempt['id']}/answers"
        client.send("PUT", path, answers)
        done.answers[question["id"]] = round_number

        batch = [observed(sequence + i) for i in range(3)]
        sequence += len(batch)
        report = {"attempt_id": attempt["id"], "events": batch}
        results = client.send("POST", "/api/proctoring/events", report).json()
        for result in results["results"]:
            if result["status"] == "rejected":
                raise UnexpectedAnswerError(str(result))
            done.events[result["client_event_id"]] = result["audit_seq"]

        single = {"attempt_id": attempt["id"], **observed(sequence)}
        sequence += 1
        stored = client.send("POST", "/api/proctoring/event", single).json()
        done.events[stored["client_event_id"]] = stored["audit_seq"]
    path = f"/api/exams/attempts/{attempt['id']}/submit"
    done.receipt = client.send("POST", path).json()
    return done


def sit_all(
    url: str,
    exam_id: str,
    emails: Sequence[str],
    *,
    at_once: int,
    rounds: int = 4,
    pause_seconds: float = 0,
) -> list[Acknowledged]:
    def sit(email: str) -> Acknowledged:
        return sit_exam(url, email, exam_id, rounds=rounds, pause_seconds=pause_seconds)

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(sit, emails))


ADMIN = {"email": "admin@gmail.com", "password": "StrongPassword123!"}
OWN_PASSWORD = "only the admin of this test knows"
CHOICE = {
    "kind": "single_choice",
    "text": "Which of these is a prime number?",
    "points": 1,
    "options": [
        {"text": "7", "is_correct": True},
        {"text": "8", "is_correct": False},
        {"text": "9", "is_correct": False},
    ],
}


def open_exam(
    url: str, students: int, connect: Connect = Client
) -> tuple[str, list[str]]:
    """As the admin, open an exam for so many students who have just registered."""
    admin = connect(url)
    admin.log_in(ADMIN["email"], ADMIN["password"])
    change = {"current_password": ADMIN["password"], "new_password": OWN_PASSWORD}
    admin.send("POST", "/api/auth/change-password", change)
    emails = [f"student{number}@example.edu" for number in range(students)]
    anybody = connect(url)
    for number, email in enumerate(emails):
        account = {
            "email": email,
            "password": PASSWORD,
            "full_name": f"Student {number}",
        }
        anybody.send("POST", "/api/auth/register", account)
    exam = admin.send(
        "POST",
        "/api/exams",
        {
            "title": "Prime numbers",
            "duration_minutes": 60,
            "starts_at": datetime.now(UTC).isoformat(),
            "ends_at": (datetime.now(UTC) + timedelta(hours=2)).isoformat(),
            "questions": [CHOICE] * 4,
        },
    ).json()
    path = f"/api/exams/{exam['id']}"
    admin.send("POST", f"{path}/assignments", {"emails": emails})
    admin.send("PATCH", f"{path}/status", {"status": "scheduled"})
    return exam["id"], emails


def verify_log(url: str, connect: Connect = Client) -> Json:
    admin = connect(url)
    admin.log_in(ADMIN["email"], OWN_PASSWORD)
    found: Json = admin.send("GET", "/api/blockchain/verify").json()
    return found
