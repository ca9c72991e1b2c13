"""Settings that hold for every test."""

import os

from hypothesis import settings

# No deadline for an example: how long one takes says more about the other programs on this machine than about the code.
# Continuous integration has the library's own profile, which also takes the chance out of the choice of examples.
if "CI" not in os.environ:
    settings.register_profile("desk", deadline=None, print_blob=True)
    settings.load_profile("desk")
