"""Settings that hold for every test."""

import os
import resource

from hypothesis import HealthCheck, settings

# A login shell has 1,024 open files; tests with hundreds of connections hold both ends of each in one process. The node
# raises its own limit in the same way.
OPEN_FILES = 8_192
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if _soft != resource.RLIM_INFINITY and _soft < OPEN_FILES:
    _most = OPEN_FILES if _hard == resource.RLIM_INFINITY else min(OPEN_FILES, _hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_most, _hard))

# No deadline for an example: how long one takes says more about the other programs on this machine than about the code.
# Continuous integration has the library's own profile, which also takes the chance out of the choice of examples.
if "CI" not in os.environ:
    settings.register_profile("desk", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("desk")
