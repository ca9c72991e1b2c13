"""Writes `rustqueue/dashboard/static/openapi.json`, the description of the HTTP API, from what the program is made of.

    answers.py    what each verb answers: the one thing that no struct and no route tells
    prose.py      descriptions and examples, out of docs/api.md
    schemas.py    structs of the vocabulary as JSON Schemas
    document.py   routes to operations, and the whole document

`python -m tests.openapi` writes the file anew; a test compares.
"""
