"""Webhooks in the vocabulary: names of events, definitions, what becomes of a delivery, and the verbs about them.

It must not know how a delivery is made, nor how secrets are sealed. Invariant: a type that the log can hold has no
secret in it; those that clients send (`WebhookCreate`, `WebhookPut`) are no commands of the machine.
"""
