"""The machines assert in modules of their own, which pytest is to explain as it does a test's."""

import pytest

pytest.register_assert_rewrite("tests.property")
