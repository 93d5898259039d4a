import pytest


@pytest.fixture(scope="session", autouse=True)
def _registered():
    from eennc.passes import register

    register()
