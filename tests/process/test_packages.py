# SPDX-License-Identifier: Apache-2.0
"""Names of packages: what may stand on pip's command line, and what may not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.errors import FreeholdError
from freehold.process.packages import MOST, environment_name, normalise


@pytest.mark.parametrize(
    ("package", "spelt"),
    [
        ("numpy", "numpy"),
        ("numpy==2.0.2", "numpy==2.0.2"),
        ("numpy == 2.0.2", "numpy==2.0.2"),
        ("Foo.Bar__baz", "foo-bar-baz"),
        ("pandas[excel,Parquet]==2.2", "pandas[excel,parquet]==2.2"),
        ("x", "x"),
        ("a==1!2.0rc1.post2.dev3+local_1", "a==1!2.0rc1.post2.dev3+local_1"),
    ],
)
def test_29_names_and_versions_are_taken(package: str, spelt: str) -> None:
    assert normalise([package]) == (spelt,)


@pytest.mark.parametrize(
    "package",
    [
        *("", " ", "-r", "--index-url=https://x", "-e.", ".", "./wheel.whl", "/tmp/x", "../x", "x/../y"),
        *("https://example.org/x.whl", "git+https://example.org/x", "x @ file:///etc/passwd", "x@1"),
        *("numpy>=2", "numpy~=2.0", "numpy==2.*", "numpy==1,==2", "numpy===2", "numpy=2", "numpy=="),
        *("x; python_version > '3'", "x;rm -rf /", "$(id)", "`id`", "x|y", "x&y", "x\ny", "x\0", "x\tz", "x\r"),
        *("_x", "x_", ".x", "x-", "x[]", "x[", "x[a", "x[a b]", "x[-r]", "ünlaut", "x==ü", "\ud800"),
        "x" * 201,
    ],
)
def test_29_anything_else_is_refused(package: str) -> None:
    with pytest.raises(FreeholdError) as caught:
        normalise([package])
    assert caught.value.refusal.code == "processor.package.invalid"
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) < 300


@given(st.text())
def test_no_text_becomes_an_option_or_an_address(package: str) -> None:
    try:
        (spelt,) = normalise([package])
    except FreeholdError:
        return
    assert re.fullmatch(r"[a-z0-9][a-z0-9,\[\]-]*(==[A-Za-z0-9][A-Za-z0-9.!+_-]*)?", spelt)


def test_order_and_spelling_make_no_difference() -> None:
    assert normalise(["b", "A", "b"]) == normalise(["a", "B"]) == ("a", "b")


def test_one_package_in_two_versions_is_refused() -> None:
    with pytest.raises(FreeholdError, match="named twice"):
        normalise(["numpy==1", "NumPy==2"])


def test_their_number_is_bounded() -> None:
    assert len(normalise([f"p{number}" for number in range(MOST)])) == MOST
    with pytest.raises(FreeholdError, match="51 packages"):
        normalise([f"p{number}" for number in range(MOST + 1)])


def test_names_of_environments_follow_from_what_is_in_them() -> None:
    names = {environment_name(packages) for packages in [["a"], ["b"], ["a", "b"], ["a==1"], []]}
    assert len(names) == 5
    assert environment_name(["a"]) == environment_name(["a"])
    assert all(re.fullmatch(r"env-[0-9a-f]{20}", name) for name in names)
