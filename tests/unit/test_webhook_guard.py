"""The guard of outgoing calls: nothing of the corpus passes, what is public passes, the operator can open a network."""

import ipaddress
from itertools import chain

import pytest

from rustqueue.effects.webhooks.guard import Blocked, Rules, check_address, check_target, is_public, parse_target
from rustqueue.model.errors import ValidationFailed
from tests.unit.webhook_urls import GOOD, GOOD_NAMES, HOSTS, MALFORMED, NAMES, ODD_PORTS

_OWN_PORTS = frozenset({6789, 6790, 6800})
_RULES = Rules(own_ports=_OWN_PORTS)


def reached(url: str, names: dict[str, list[str]], rules: Rules = _RULES) -> list[str]:
    """The addresses that would be connected to, as the sender asks the guard: all must pass, and there must be some."""
    try:
        target = parse_target(url)
        check_target(target, rules)
        found = [str(target.address)] if target.address is not None else names.get(target.host, [])
        addresses = [ipaddress.ip_address(text) for text in found]
        for address in addresses:
            check_address(address, target.port, rules)
    except (ValidationFailed, Blocked):
        return []
    return [str(address) for address in addresses]


def test_the_corpus_is_large() -> None:
    urls = {*(f"http://{host}/" for host in (*HOSTS, *NAMES)), *MALFORMED, *ODD_PORTS}
    assert len(urls) >= 260


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_hostile_host_is_reached(scheme: str) -> None:
    names = {name.lower(): found for name, found in {**NAMES, **GOOD_NAMES}.items()}
    hosts = [*HOSTS, *NAMES]
    urls = [f"{scheme}://{host}{rest}" for host in hosts for rest in ("", "/", ":443/latest/meta-data", ":8080?x")]
    assert [url for url in urls if reached(url, names)] == []


def test_no_malformed_url_and_no_odd_port_is_reached() -> None:
    assert [url for url in (*MALFORMED, *ODD_PORTS) if reached(url, GOOD_NAMES)] == []


def test_a_malformed_url_is_refused_by_name_of_the_field() -> None:
    for url in MALFORMED:
        with pytest.raises(ValidationFailed) as caught:
            parse_target(url)
        assert caught.value.details is not None
        assert caught.value.details["field"] == "url"


def test_public_receivers_are_reached() -> None:
    names = {**GOOD_NAMES, "xn--hks-1na.example": ["93.184.215.14"], "a_b-c.hooks.example.": ["93.184.215.14"]}
    assert [url for url in GOOD if not reached(url, names)] == []


def test_the_operator_opens_networks_but_never_own_ports_nor_embedded_addresses() -> None:
    # Given an operator who lets the loopback and a private network through
    rules = Rules.of(["127.0.0.0/8", "10.0.0.0/8", "::1/128", "::ffff:0:0/96", "64:ff9b::/96"], [80], _OWN_PORTS)
    # Then any port there can be called
    assert reached("http://127.0.0.1:43210/", {}, rules) == ["127.0.0.1"]
    assert reached("http://[::1]:43210/", {}, rules) == ["::1"]
    assert reached("http://inner:9000/", {"inner": ["10.1.2.3"]}, rules) == ["10.1.2.3"]
    # But not the node itself, not another network, and not an address inside an address
    for url in ("http://127.0.0.1:6790/", "http://192.168.0.1/", "http://[::ffff:127.0.0.1]/", "http://2130706433/"):
        assert reached(url, {}, rules) == []
    assert reached("http://inner:9000/", {"inner": ["10.1.2.3", "192.168.0.1"]}, rules) == []
    assert reached("http://inner/", {"inner": ["64:ff9b::a00:1"]}, rules) == []
    assert reached("http://inner:9000/", {"inner": ["93.184.215.14"]}, rules) == []


def test_what_is_called_public_is_public_to_the_standard_library_too() -> None:
    for text in (*(host.strip("[]") for host in HOSTS), *chain(*NAMES.values(), *GOOD_NAMES.values())):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        assert not is_public(address) or address.is_global


def test_a_wrong_network_of_the_operator_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"host bits|does not appear"):
        Rules.of(["10.0.0.1/8"], [80], [])
