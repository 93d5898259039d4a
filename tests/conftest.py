from pathlib import Path

import pytest
from hypothesis import settings

# a busy machine is no failure
settings.register_profile("eennc", deadline=None)
settings.load_profile("eennc")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data and models; skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip("the data folder ../shared/data is not there")
    return SHARED
