"""What a scenario asserts while it is played is shown as in a test."""

import pytest

pytest.register_assert_rewrite("scenarios.playing")
