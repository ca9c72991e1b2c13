"""Webhooks in the state machine: definitions, the outbox of deliveries, what became of them.

It must not know how a delivery is made. `registry` holds the definitions and says who wants an event, `outbox` writes
deliveries beside the event they tell of and settles them, `verbs` is what clients do, `shown` what they see.
"""
