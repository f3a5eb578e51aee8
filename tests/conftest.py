"""What all tests share: the same examples for property tests on every machine, a cache of their own, and Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("nas", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("nas")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job: what is started would not hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests prepare and measure out of the user's cache, and tests out of the user's database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("NAS_STORAGE", raising=False)
        yield
