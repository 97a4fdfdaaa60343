"""IP addresses as they come in: from a socket, or from a proxy's header."""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

IpNetwork = IPv4Network | IPv6Network

# What one customer of a provider gets at least (RFC 6177): every address in it is his.
IPV6_CALLER_BITS = 64

# What a provider has at the most of the one, and gets at least of the other.
IPV4_NETWORK_BITS = 16
IPV6_NETWORK_BITS = 32


def ip_address_of(text: str | None) -> IPv4Address | IPv6Address | None:
    """Read an address without its zone; None if it is none."""
    try:
        address = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    # How a socket that listens for both kinds writes the older one.
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_this_machine(host: str) -> bool:
    """Say whether a host is reached without a network, as libpq names hosts.

    A path is a directory of unix sockets, and an @ an abstract one.
    """
    address = ip_address_of(host)
    if address is not None:
        return address.is_loopback
    return host in {"", "localhost"} or host.startswith(("/", "@"))


def caller_at(text: str | None) -> str:
    """Return what counts as one caller: an IPv4 address, or an IPv6 network."""
    address = ip_address_of(text)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_CALLER_BITS), strict=False))
    return "unknown" if address is None else str(address)


def has_moved(before: str | None, now: str | None) -> bool:
    """Say whether a caller's address is another one; not if one is unknown."""
    if ip_address_of(before) is None or ip_address_of(now) is None:
        return False
    return caller_at(before) != caller_at(now)


def is_other_network(before: str | None, now: str | None) -> bool:
    """Say whether two addresses are far apart, as those of two providers are.

    Addresses of different kinds may well be one computer's, and are not.
    """
    one, other = ip_address_of(before), ip_address_of(now)
    if isinstance(one, IPv4Address) and isinstance(other, IPv4Address):
        return other not in ip_network((one, IPV4_NETWORK_BITS), strict=False)
    if isinstance(one, IPv6Address) and isinstance(other, IPv6Address):
        return other not in ip_network((one, IPV6_NETWORK_BITS), strict=False)
    return False
