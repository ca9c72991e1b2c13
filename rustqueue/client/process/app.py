"""From `module:registry` to the registry. It must not know what is done with it."""

import importlib
import os
import sys

from rustqueue.client.work.registry import WorkerRegistry


class AppError(Exception):
    """What was named is no registry. The message says why."""


def load_registry(text: str) -> WorkerRegistry:
    """The registry that `text` names, or that a function of that name makes. Modules of the working folder count.

    Raises `AppError`; what a module itself raises while it is loaded goes through, with its own traceback.
    """
    module_name, colon, path = text.partition(":")
    if not (module_name and colon and path):
        raise AppError(f"{text!r} is not MODULE:REGISTRY")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise AppError(f"there is no module {module_name!r}") from None
    for name in path.split("."):
        if not hasattr(found, name):
            raise AppError(f"module {module_name!r} has no {path!r}")
        found = getattr(found, name)
    if not isinstance(found, WorkerRegistry) and callable(found):
        found = found()
    if not isinstance(found, WorkerRegistry):
        raise AppError(f"{text!r} is a {type(found).__name__}, expected a WorkerRegistry or a function that makes one")
    return found
