"""What is read from an address, wherever it comes from."""

import pytest

from utils.addresses import caller_at, has_moved, ip_address_of, is_other_network


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_an_address_is_read_without_its_zone(text: str, expected: str) -> None:
    assert str(ip_address_of(text)) == expected


@pytest.mark.parametrize(
    "text",
    [None, "", "unix:", "unknown", "192.0.2.7:5000", "999.1.1.1", "1", "a\x00b", "%"],
)
def test_what_is_no_address_is_none(text: str | None) -> None:
    assert ip_address_of(text) is None
    assert caller_at(text) == "unknown"


def test_who_owns_a_network_is_one_caller() -> None:
    assert caller_at("2001:db8:0:1::7") == caller_at("2001:db8:0:1:ffff::9")
    assert caller_at("2001:db8:0:1::7") != caller_at("2001:db8:0:2::7")
    assert caller_at("192.0.2.7") != caller_at("192.0.2.8")
    assert caller_at("::ffff:192.0.2.7") == caller_at("192.0.2.7")


@pytest.mark.parametrize(
    ("before", "now", "moved", "other"),
    [
        ("192.0.2.7", "192.0.2.7", False, False),
        ("192.0.2.7", "192.0.2.8", True, False),
        ("192.0.2.7", "192.1.2.7", True, True),
        # Privacy addresses change within the customer's network.
        ("2001:db8:0:1::7", "2001:db8:0:1::8", False, False),
        ("2001:db8:0:1::7", "2001:db8:0:2::7", True, False),
        ("2001:db8::7", "2001:db9::7", True, True),
        # One computer has addresses of both kinds.
        ("192.0.2.7", "2001:db8::7", True, False),
        ("::ffff:192.0.2.7", "192.0.2.7", False, False),
        (None, "192.0.2.7", False, False),
        ("192.0.2.7", "unix:", False, False),
    ],
)
def test_how_far_an_address_has_moved(
    before: str | None, now: str, *, moved: bool, other: bool
) -> None:
    assert has_moved(before, now) is moved
    assert is_other_network(before, now) is other
