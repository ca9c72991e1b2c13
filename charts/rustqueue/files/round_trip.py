"""Pushes a job, pulls it, acknowledges it and looks whether it is done. Standard library only."""

import json
import os
import urllib.request
import uuid

URL, QUEUE = os.environ["RUSTQUEUE_URL"], f"helm-test-{uuid.uuid4().hex[:8]}"


def ask(method: str, path: str, body: object = None) -> dict:
    """One request; anything but a success ends the test."""
    request = urllib.request.Request(f"{URL}/api/v1{path}", method=method)
    request.add_header("Content-Type", "application/json")
    if "RUSTQUEUE_TOKEN" in os.environ:
        request.add_header("Authorization", f"Bearer {os.environ['RUSTQUEUE_TOKEN']}")
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=10) as answer:
        return json.load(answer)


pushed = ask("POST", f"/queues/{QUEUE}/jobs", {"name": "helm-test", "data": {"n": 1}})
pulled = ask("POST", f"/queues/{QUEUE}/pull", {"count": 1, "wait_ms": 5_000})["job"]
assert pulled is not None, f"{pushed} was not given to a worker"
assert pulled["id"] == pushed["id"], (pushed, pulled)
ask("POST", f"/jobs/{pushed['id']}/ack", {"attempt_token": pulled["attempt_token"]})
done = ask("GET", f"/jobs/{pushed['id']}")["job"]["state"]
assert done == "completed", done
ask("DELETE", f"/queues/{QUEUE}?force=true")
print(f"job {pushed['id']} was pushed, pulled and acknowledged through {URL}")
