"""What every fault test starts from, and in which order they run.

Most faults take long because a switch and its collectors wait for each other. Tests marked `beside`
begin with the first fault test, a few at a time, and go on while others run; when their turn comes
they are waited for. Those marked `alone` measure, and come when all that is over.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from faults.figures import FIGURES
from faults.stage import Stage

WORKERS = 4


def pytest_collection_modifyitems(items):
    """Put those that run beside others after them, and those that run alone last of all."""
    items.sort(key=_turn)


def _turn(item):
    return 2 * bool(item.get_closest_marker("alone")) + bool(item.get_closest_marker("beside"))


@pytest.fixture(autouse=True, scope="session")
def _beside(request, tmp_path_factory):
    """Begin whatever runs beside the others."""
    items = [item for item in request.session.items if item.get_closest_marker("beside")]
    with ThreadPoolExecutor(WORKERS) as pool:
        for item in items:
            folder = tmp_path_factory.mktemp("beside")
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            item.stash[_RUNNING] = pool.submit(_run, item.function, folder, parameters)
        yield
        pool.shutdown(cancel_futures=True)


_RUNNING = pytest.StashKey()


def _run(test, folder, parameters):
    with _staged(folder) as made:
        test(stage=made, **parameters)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Wait for a test that runs beside the others, in place of running it."""
    running = pyfuncitem.stash.get(_RUNNING, None)
    if running is None:
        return None
    running.result()
    return True


@pytest.fixture
def stage(tmp_path):
    """A switch, collectors and agents that a test asks for, ended after it."""
    with _staged(tmp_path) as made:
        yield made


class _staged:  # noqa: N801 - used as a function is
    """A stage; what was written there is removed at once where all went well, since it is much."""

    def __init__(self, folder):
        self._stage = Stage(folder)

    def __enter__(self):
        return self._stage

    def __exit__(self, kind, *_):
        self._stage.close()
        if kind is None:
            shutil.rmtree(self._stage.folder)


def pytest_terminal_summary(terminalreporter):
    """Tell the figures."""
    if FIGURES:
        terminalreporter.section("figures of the faults")
        terminalreporter.write_line("\n".join(FIGURES))
