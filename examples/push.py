"""Push jobs: one at once, one later, and a batch whose last job waits for the others.

    python examples/push.py [URL]

Start a node first (`rustqueue serve`); `examples/mail_worker.py` does what is pushed here.
"""

import sys

from rustqueue.client import Client

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6790"


def main() -> None:
    with Client(URL) as client:
        welcome = client.push("mail", "welcome", {"to": "ada@example.org"})
        reminder = client.push("mail", "welcome", {"to": "bob@example.org"}, delay_ms=60_000)
        # An integer in `depends_on` is a position in the batch. The total runs when both counts are done, and gets
        # their results.
        parts = client.push_batch(
            "words",
            [
                {"name": "count", "data": {"text": "to be or not to be"}},
                {"name": "count", "data": {"text": "that is the question"}},
                {"name": "total", "depends_on": [0, 1]},
            ],
        )
        for job_id in (welcome, reminder, *parts):
            job = client.get(job_id)
            assert job is not None
            sys.stdout.write(f"{job.id} {job.queue}/{job.name}: {job.state}\n")


if __name__ == "__main__":
    main()
