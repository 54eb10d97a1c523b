# SPDX-License-Identifier: Apache-2.0
"""The form of generated secrets: recognisable, and a typing error is no longer of the form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.vault.secret_text import ACCESS, DEVICE, LINK, SESSION, generate, is_generated

PREFIXES = [DEVICE, ACCESS, SESSION, LINK]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_generated_secret_is_recognised_by_its_own_prefix_only(prefix: str) -> None:
    secret = generate(prefix)
    assert secret.startswith(prefix)
    assert len(secret) == 37
    assert is_generated(secret, prefix)
    assert not any(is_generated(secret, other) for other in PREFIXES if other != prefix)


def test_secrets_do_not_repeat() -> None:
    assert len({generate(DEVICE) for _ in range(1000)}) == 1000


def test_secrets_need_no_quoting_in_a_shell_or_an_url() -> None:
    assert all(c.isalnum() or c in "-_" for _ in range(200) for c in generate(DEVICE))


def test_every_single_wrong_character_is_noticed() -> None:
    secret = generate(DEVICE)
    for position in range(len(secret)):
        for wrong in "aZ5-_ é":
            if wrong != secret[position]:
                changed = secret[:position] + wrong + secret[position + 1 :]
                assert not is_generated(changed, DEVICE)


def test_neighbours_swapped_are_noticed() -> None:
    secret = generate(DEVICE)
    for position in range(len(secret) - 1):
        left, right = secret[position], secret[position + 1]
        swapped = secret[:position] + right + left + secret[position + 2 :]
        assert left == right or not is_generated(swapped, DEVICE)


@given(st.text())
def test_chosen_passwords_are_not_of_the_form(text: str) -> None:
    assert not is_generated(text, DEVICE)
    assert not is_generated(DEVICE + text, DEVICE)


@pytest.mark.parametrize("text", ["", "frd_", "frd_" + "x" * 33, "frd_" + "\ud800" * 33, "frd_" + "é" * 33])
def test_lookalikes_are_refused_and_not_raised_on(text: str) -> None:
    assert not is_generated(text, DEVICE)
