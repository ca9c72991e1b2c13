"""Secrets of webhooks: read when they are needed, never kept, and only those whose owner said that we may."""

import base64
import binascii
import hashlib
from typing import Final, NamedTuple

from rustqueue_operator.kinds.fields import Declared, SecretKeyRef
from rustqueue_operator.kinds.webhook import WebhookSpec
from rustqueue_operator.kube.calls import Calls, KubernetesError

LABEL_KEY: Final = "rustqueue.io/use"


class Secrets(NamedTuple):
    """`digest` tells versions apart without telling the value; both None when the object names no Secret."""

    values: dict[str, str | None]
    digest: str | None = None
    problem: str | None = None


NOTHING: Final = Secrets({})


async def read(calls: Calls, namespace: str, spec: Declared) -> Secrets:
    """What a spec refers to. Raises `KubernetesError` when the API server does not answer."""
    if not isinstance(spec, WebhookSpec) or spec.secret_key_ref is None:
        return NOTHING
    values: dict[str, str | None] = {}
    versions = []
    for field, ref in (("secret", spec.secret_key_ref), ("previous_secret", spec.previous_secret_key_ref)):
        if ref is None:
            continue
        value, version = await _read(calls, namespace, ref)
        if value is None:
            return Secrets({}, problem=version)
        values[field] = value
        versions.append(version)
    return Secrets(values, hashlib.sha256("\n".join(versions).encode()).hexdigest()[:16])


async def _read(calls: Calls, namespace: str, ref: SecretKeyRef) -> tuple[str | None, str]:
    """Value and version, or None and what is wrong."""
    try:
        secret = await calls.secret(namespace, ref.name)
    except KubernetesError as error:
        if error.status != 403:
            raise
        text = f"the operator may not read Secrets of namespace {namespace}: list it in operator.secretNamespaces"
        return None, text
    if secret is None:
        return None, f"there is no Secret {ref.name}"
    metadata = secret["metadata"]
    if (metadata.get("labels") or {}).get(LABEL_KEY) != "true":
        return None, f'the Secret {ref.name} lacks the label {LABEL_KEY}: "true"'
    encoded = (secret.get("data") or {}).get(ref.key)
    if encoded is None:
        return None, f"the Secret {ref.name} has no key {ref.key}"
    try:
        value = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None, f"the key {ref.key} of the Secret {ref.name} is no text"
    return value, f"{metadata['uid']}/{metadata['resourceVersion']}/{ref.key}"
