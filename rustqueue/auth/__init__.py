"""Who is asking, and what he may do: bearer tokens, scopes, and the lockout of an address that guesses.

It must not know any protocol, nor what a request needs. `principals` is who asks, `grants` what he may do, `bearer`
the text of our tokens, `service_accounts` those of Kubernetes, `lockout` the addresses that failed; `authenticator`
brings them together.
"""

from rustqueue.auth.authenticator import Authenticator
from rustqueue.auth.grants import FULL, Grants
from rustqueue.auth.lockout import LockedOut
from rustqueue.auth.principals import ANYBODY, NOBODY, Principal
from rustqueue.auth.service_accounts import AccountScopes, Reviewed, ServiceAccounts, Undecided

__all__ = [
    "ANYBODY",
    "FULL",
    "NOBODY",
    "AccountScopes",
    "Authenticator",
    "Grants",
    "LockedOut",
    "Principal",
    "Reviewed",
    "ServiceAccounts",
    "Undecided",
]
