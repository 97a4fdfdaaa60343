"""Who speaks to the API, and about what."""

import pytest

from tests.exams import Json, active, start
from tests.personas import Api, Persona, Speaker


@pytest.fixture
def admin(api: Api, ada: Persona) -> Speaker:
    return api.as_(ada)


@pytest.fixture
def student(api: Api, alice: Persona) -> Speaker:
    return api.as_(alice)


@pytest.fixture
def exam(admin: Speaker, alice: Persona) -> Json:
    """One that alice may sit now."""
    return active(admin, alice.id)


@pytest.fixture
def attempt(student: Speaker, exam: Json) -> Json:
    """The attempt that alice has started."""
    return start(student, exam)
