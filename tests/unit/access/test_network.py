"""What of an address is counted and booked."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.access import network


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", "unknown"),
        ("unix:", "unknown"),
        ("192.0.2.77, 198.51.100.1", "unknown"),
        ("192.0.2.077", "unknown"),
    ],
)
def test_is_the_network_around_an_address(address: str, expected: str) -> None:
    assert network.of(address) == expected


@given(st.ip_addresses())
def test_holds_the_address_it_was_made_of(address: ipaddress.IPv4Address) -> None:
    made = ipaddress.ip_network(network.of(str(address)))
    ip = ipaddress.ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    assert (mapped or ip) in made


@given(st.text(max_size=60))
def test_never_repeats_what_is_no_address(text: str) -> None:
    made = network.of(text)
    assert made == network.UNKNOWN or "/" in made
