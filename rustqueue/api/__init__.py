"""The HTTP shell: bytes of HTTP to requests of the vocabulary, replies to bytes.

Purpose: serve the routes of contract A4 and decisions C with the same decoder, the same limits and the same errors as
TCP. It must not know how a job works: whatever a request means is decided behind the gateway.

    connection.py   one client: parsing, deadlines, bodies, order
    app.py          from a parsed request to an answer: route, admit, compose, submit
    events.py       events over WebSocket
    routes.py       the table of routes
    compose.py      path, query, headers and body as the JSON line that TCP would send
    answers.py      replies as HTTP bytes
    refusals.py     the mistakes that only HTTP knows
    ports.py        what the shell needs from the rest of the node
"""
