"""The answer to a batch is written by hand, and as its schema would write it."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from pydantic import TypeAdapter

from api.schemas.proctoring import BatchResponse, batch_json
from models.attempt import AttemptStatus
from models.proctoring import ProctoringEvent
from services.proctoring_errors import (
    AttemptClosedError,
    EventIdReusedError,
    InvalidEventError,
)
from services.proctoring_service import (
    BatchReceipt,
    RecordedEvent,
    RefusedEvent,
    ResultStatus,
)

NINE = datetime(2026, 11, 28, 9, tzinfo=UTC)
LATER = NINE.replace(microsecond=120)


def recorded(status: ResultStatus) -> RecordedEvent:
    event = ProctoringEvent(
        id=uuid4(),
        attempt_id=uuid4(),
        batch_id=uuid4(),
        client_event_id=uuid4(),
        sequence=1,
        event_type="focus.lost",
        event_class="integrity",
        severity="low",
        occurred_at=NINE,
        received_at=LATER,
        payload={},
    )
    return RecordedEvent(event=event, audit_seq=2**40, status=status)


def test_the_answer_to_a_batch_is_written_as_its_schema_has_it() -> None:
    name = UUID(int=7)
    receipt = BatchReceipt(
        results=[
            recorded(ResultStatus.ACCEPTED),
            recorded(ResultStatus.DUPLICATE),
            RefusedEvent(
                client_event_id=None,
                reason=InvalidEventError([("#/events/0/x", "Größer als „1“.")]),
            ),
            RefusedEvent(client_event_id=name, reason=EventIdReusedError(name)),
            RefusedEvent(
                client_event_id=name,
                reason=AttemptClosedError(AttemptStatus.SUBMITTED, NINE),
            ),
        ],
        missing_sequences=[3, 2**53 - 1],
        status=AttemptStatus.SUBMITTED,
        expected_report_interval_seconds=7.5,
        server_time=NINE,
        deadline_at=LATER,
        seconds_remaining=-1,
    )

    adapter = TypeAdapter(BatchResponse)
    expected = adapter.validate_python(receipt, from_attributes=True)
    assert batch_json(receipt) == adapter.dump_json(expected)
