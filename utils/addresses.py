"""IP addresses as they come in: from a socket, or from a proxy's header."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# What one customer of a provider gets at least (RFC 6177): every address in it is his.
IPV6_CALLER_BITS = 64


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


def caller_at(text: str | None) -> str:
    """Return what counts as one caller: an IPv4 address, or an IPv6 network."""
    address = ip_address_of(text)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_CALLER_BITS), strict=False))
    return "unknown" if address is None else str(address)
