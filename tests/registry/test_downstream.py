# SPDX-License-Identifier: Apache-2.0
"""The password in an application's spec: sealed at rest and in every answer, kept when sent back."""

from __future__ import annotations

from typing import Any

import pytest

from freehold.core.errors import FreeholdError
from freehold.registry.downstream import open_password, seal_password
from freehold.registry.service import RegistryService
from freehold.vault.service import SealError, Vault
from tests.registry.conftest import OURS, app, code_of

VAULT = Vault(bytes(range(32)))


def spec(password: Any = "kafka secret") -> dict[str, Any]:
    return {"downstream": {"password": password, "externalTopic": "t"}, "other": 1}


def test_it_is_sealed_and_the_rest_stays() -> None:
    sealed = seal_password(VAULT, "uid", spec(), {})
    assert "kafka secret" not in repr(sealed)
    assert sealed["other"] == 1
    assert sealed["downstream"]["externalTopic"] == "t"
    assert open_password(VAULT, "uid", sealed) == "kafka secret"


def test_only_this_application_can_have_it_opened() -> None:
    sealed = seal_password(VAULT, "uid", spec(), {})
    with pytest.raises(SealError):
        open_password(VAULT, "another", sealed)


def test_what_was_read_and_the_same_password_change_nothing() -> None:
    sealed = seal_password(VAULT, "uid", spec(), {})
    assert seal_password(VAULT, "uid", sealed, sealed) == sealed
    assert seal_password(VAULT, "uid", spec(), sealed) == sealed
    assert seal_password(VAULT, "uid", spec("new"), sealed) != sealed


@pytest.mark.parametrize("password", [5, [], {}, {"plain": "x"}, True])
def test_another_type_is_refused(password: object) -> None:
    with pytest.raises(FreeholdError, match=r"spec\.downstream\.password"):
        seal_password(VAULT, "uid", spec(password), {})


@pytest.mark.parametrize("given", [{}, {"downstream": None}, {"downstream": {}}, {"downstream": {"password": None}}])
def test_no_password_is_none(given: dict[str, Any]) -> None:
    assert seal_password(VAULT, "uid", given, spec("{sealed}x")) == given
    assert open_password(VAULT, "uid", given) is None


def test_sealed_text_from_elsewhere_is_refused(registry: RegistryService) -> None:
    registry.create_application(OURS, app(spec=spec()))
    sealed = dict(registry.get_application(OURS, "app1").spec)
    assert code_of(registry.create_application, OURS, app("app2", spec=sealed)) == "resource.invalid"
    registry.create_application(OURS, app("app2", spec=spec()))
    assert code_of(registry.update_application, OURS, "app2", app("app2", spec=sealed)) == "resource.invalid"
