"""The second system's routes: its paths, its bodies, its errors, over the same door as all others.

Purpose: a client that was written for it works here unchanged (decisions B, docs/second-system.md). It must not know
how a job works: creating one is a push, cancelling one is a cancel, reading one is a query.

    routes.py    the table
    asking.py    paths, queries and bodies as requests of the vocabulary
    answers.py   replies as that system's JSON, refusals as its errors
"""
