"""The worker process: a registry of engines, named on the command line, put to work.

Built on the worker runtime; it adds what a process needs around it: loading the registry, metrics, probes, an end.

    app.py       from `module:registry` to a registry
    numbers.py   what Prometheus is told
    probes.py    the small port that tells it, and says whether the process lives and is ready
    run.py       the process
"""
