"""Pulumi's states hold dynamic providers pickled by the name of their module: states of before keep working."""

import base64
import pickle

import pytest

from mignet.program import providers

OF_BEFORE = {
    "Nodes": "gASVHQAAAAAAAACMDG1pZ25ldC5ub2Rlc5SMBU5vZGVzlJOUKYGULg==",
    "Handlers": "gASVIAAAAAAAAACMDG1pZ25ldC5ub2Rlc5SMCEhhbmRsZXJzlJOUKYGULg==",
}
"""What the states of version 0.1 hold."""


@pytest.mark.parametrize("name", OF_BEFORE)
def test_what_a_state_of_before_holds_is_the_provider_of_now(name: str) -> None:
    found = pickle.loads(base64.b64decode(OF_BEFORE[name]))
    assert type(found) is getattr(providers, name)
