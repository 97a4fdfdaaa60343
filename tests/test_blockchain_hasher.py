"""The hashed bytes, against published vectors and against a slower implementation."""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from utils.blockchain_hasher import (
    NO_HASH,
    Entry,
    canonical_json,
    entry_bytes,
    leaf_hash,
    log_identity,
    parse_entry,
    payload_commitment,
)

LOG_ID = bytes(range(16))
SALT = bytes(range(32))
PAYLOAD = b'{"risk":"high","score":"0.87"}'
COMMITMENT = "cedf6dcbdf1b61ed97997c0dfbe935e33fa2a61f618a257d9d66528d951032b5"
GENESIS_HASH = "b4d22e42c56944c3ab82643d361a31e0d01033b0bf6e4a86580b16b1ab0b87ec"
SECOND_HASH = "6107842ea0d6153cf510ac617fd9bcc283385a0bec7011db4fb5b6c36bedb5c6"

GENESIS = Entry(
    log_id=LOG_ID,
    seq=0,
    previous_hash=NO_HASH,
    recorded_at_us=1767225600123456,
    xid=77,
    flags=0,
    schema_version=1,
    payload_hash=bytes.fromhex(COMMITMENT),
    state_hash=NO_HASH,
    attempt_id=None,
    actor_id="system",
    event_type="log.genesis",
    entity_type="log",
    entity_id="",
)
SECOND = replace(
    GENESIS,
    seq=1,
    recorded_at_us=1767225600123999,
    xid=78,
    attempt_id="t1",
    actor_id="u-1",
    event_type="proctor.flag",
    entity_type="session",
    entity_id="42",
)


def test_the_commitment_agrees_with_the_vector() -> None:
    assert payload_commitment(SALT, PAYLOAD).hex() == COMMITMENT


def test_entries_agree_with_the_vectors() -> None:
    first = leaf_hash(entry_bytes(GENESIS))
    second = entry_bytes(replace(SECOND, previous_hash=first))

    assert len(entry_bytes(GENESIS)) == 206
    assert first.hex() == GENESIS_HASH
    assert len(second) == 212
    assert leaf_hash(second).hex() == SECOND_HASH


def test_a_leaf_agrees_with_the_vector_of_rfc_6962() -> None:
    # The empty leaf of the certificate-transparency test data.
    assert (
        leaf_hash(b"").hex()
        == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )


def test_an_empty_string_is_not_null() -> None:
    empty = entry_bytes(replace(SECOND, actor_id=""))
    null = entry_bytes(replace(SECOND, actor_id=None))

    assert empty != null


def test_text_that_moves_over_a_boundary_changes_the_bytes() -> None:
    one = entry_bytes(replace(SECOND, entity_type="ab", entity_id="c"))
    other = entry_bytes(replace(SECOND, entity_type="a", entity_id="bc"))

    assert one != other


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("previous_hash", replace(SECOND, previous_hash=bytes(31))),
        ("payload_hash", replace(SECOND, payload_hash=bytes(31))),
        ("state_hash", replace(SECOND, state_hash=bytes(33))),
    ],
)
def test_a_hash_of_another_length_is_refused(name: str, entry: Entry) -> None:
    with pytest.raises(ValueError, match=name):
        entry_bytes(entry)


def test_a_log_id_or_salt_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="log_id"):
        entry_bytes(replace(SECOND, log_id=bytes(15)))
    with pytest.raises(ValueError, match="salt"):
        payload_commitment(bytes(31), PAYLOAD)


def test_the_log_is_identified_by_its_manifest() -> None:
    assert log_identity(PAYLOAD) == sha256(PAYLOAD).digest()[:16]


# Any: whatever JSON can hold.
Document = dict[str, Any]

json_text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | json_text
    | st.from_regex(r"\A[:,\[]-?\d{1,20}[.eE]?\d*\Z"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(json_text, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(json_text, json_values, max_size=5))
def test_canonical_json_is_what_rfc8785_makes(value: Document) -> None:
    assert canonical_json(value) == rfc8785.dumps(value).decode()


@pytest.mark.parametrize(
    "value",
    [
        {"\U0001f600": 1, "\ue000": 2},
        {"time": "2026-01-01T00:00:00.123456Z"},
        {"number": 1e21, "tiny": 5e-324, "whole": 1.0, "zero": -0.0},
        {"edge": [2**53 - 1, -(2**53) + 1]},
        {"escaped": '\b\t\n\f\r"\\/\x00\x1f\x7f\u2028'},
    ],
)
def test_canonical_json_agrees_where_it_is_delicate(value: Document) -> None:
    assert canonical_json(value) == rfc8785.dumps(value).decode()


@pytest.mark.parametrize(
    "value",
    [
        {"x": math.nan},
        {"x": math.inf},
        {"x": 2**53},
        {"x": -(2**53)},
        {"x": "\ud800"},
        {"\udfff": 1},
        {"x": object()},
        ["a", "list"],
        "text",
        None,
    ],
)
def test_what_has_no_canonical_text_is_refused(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever library finds it.
        canonical_json(value)


@dataclass(frozen=True)
class Grade:
    student_id: UUID
    points: Decimal


def test_a_record_is_written_with_its_numbers_as_text() -> None:
    grade = Grade(UUID(int=7), Decimal("1.50"))

    assert (
        canonical_json(grade)
        == '{"points":"1.50","student_id":"00000000-0000-0000-0000-000000000007"}'
    )


@pytest.mark.parametrize(
    "entry", [GENESIS, SECOND, replace(SECOND, actor_id="", attempt_id=None)]
)
def test_what_was_written_is_read(entry: Entry) -> None:
    assert parse_entry(entry_bytes(entry)) == entry


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(entry_bytes(SECOND)[:-1], id="a byte less"),
        pytest.param(entry_bytes(SECOND) + b"\0", id="a byte more"),
        pytest.param(b"x" + entry_bytes(SECOND)[1:], id="another tag"),
    ],
)
def test_what_is_no_entry_is_not_read(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says it in its own words.
        parse_entry(raw)
