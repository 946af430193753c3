"""How many cases a property is tried on, where each of them is a large one.

Relative to the profile (`conftest`), so that `make proof` and the second build of CI change these
numbers as they change all others.
"""

from hypothesis import settings


def fewer(times, **more):
    """Try one case where others try so many; `more` is what `settings` takes."""
    return settings(max_examples=max(1, settings.default.max_examples // times), **more)
