"""What no single type can say of the settings: values that need each other, and texts with a grammar of their own.

It must not know where a value came from. Invariant: what passes here, a node can be started with, as far as that can be
told without looking at the machine.
"""

import ipaddress
from collections.abc import Iterator

from rustqueue.settings.cluster import cluster_problems
from rustqueue.settings.sections import Settings


def problems(settings: Settings) -> Iterator[tuple[str, str]]:
    """Keys that cannot stay as they are, each with the reason."""
    server, tls = settings.server, settings.tls
    if bool(server.tls_cert) != bool(server.tls_key):
        given, missing = ("tls_cert", "tls_key") if server.tls_cert else ("tls_key", "tls_cert")
        yield f"server.{given}", f"it needs server.{missing} too"
    if tls.enabled and not (tls.cert_path and tls.key_path):
        yield "tls.enabled", "it needs tls.cert_path and tls.key_path"
    try:
        settings.kubernetes.account_scopes()
    except ValueError as error:
        yield "kubernetes.accounts", str(error)
    if settings.kubernetes.accounts and not settings.auth.enabled:
        yield "kubernetes.accounts", "it needs auth.enabled: without it everybody may do everything"
    yield from cluster_problems(settings.cluster)
    if settings.cluster.enabled and settings.webhooks.enabled and not settings.security.key_file:
        yield "security.key_file", "webhooks of a cluster need one key file that all its nodes share"
    networks = {
        "server.trusted_proxies": server.trusted_proxies,
        "webhooks.allowed_networks": settings.webhooks.allowed_networks,
    }
    for key, texts in networks.items():
        for text in texts:
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                yield key, str(error)
