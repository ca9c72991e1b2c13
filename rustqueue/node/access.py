"""Who may come in, as the settings say: the authenticator of a node with all that it asks.

It must not know a protocol. Invariant: a node that maps no ServiceAccounts never talks to a Kubernetes API server.
"""

import time
from collections.abc import Callable

from rustqueue.auth import AccountScopes, Authenticator, ServiceAccounts
from rustqueue.auth.authenticator import Tokens
from rustqueue.effects.token_review import ApiServer, TokenReviews
from rustqueue.raft.ports import Clock, Executor
from rustqueue.settings import KubernetesSettings, Settings

_THREADS = 2  # One that waits for a slow answer leaves the other.


def authenticator(settings: Settings, clock: Clock, stored: Tokens, thread: Callable[[str], Executor]) -> Authenticator:
    """`thread` makes an executor with a name; whoever gives it closes it."""
    kubernetes = settings.kubernetes
    accounts = _accounts(kubernetes, clock, thread) if kubernetes.accounts else None
    return Authenticator(settings.auth.enabled, settings.auth.tokens, clock, stored, accounts)


def _accounts(kubernetes: KubernetesSettings, clock: Clock, thread: Callable[[str], Executor]) -> ServiceAccounts:
    server = ApiServer(kubernetes.api_server, kubernetes.ca_file, kubernetes.token_file, kubernetes.audience)
    threads = [thread(f"rustqueue-review-{number}") for number in range(_THREADS)]
    rules = [AccountScopes(account, scopes) for account, scopes in kubernetes.account_scopes()]
    return ServiceAccounts(rules, TokenReviews(server, threads, time.monotonic), clock, kubernetes.cache_ms)
