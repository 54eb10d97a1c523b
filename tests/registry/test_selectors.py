# SPDX-License-Identifier: Apache-2.0
"""Label selectors: the grammar, what matches, and that no text makes the parser fail otherwise than by refusing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.core.errors import FreeholdError
from freehold.registry.selectors import LONGEST, Operator, Term, parse
from freehold.registry.service import RegistryService
from tests.registry.conftest import OURS, device

EXISTS, ABSENT, IN, NOT_IN = Operator.EXISTS, Operator.ABSENT, Operator.IN, Operator.NOT_IN


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("   ", []),
        ("foo", [Term("foo", EXISTS)]),
        ("!foo", [Term("foo", ABSENT)]),
        ("! foo", [Term("foo", ABSENT)]),
        ("foo/bar", [Term("foo/bar", EXISTS)]),
        ("foo.baz/bar.baz", [Term("foo.baz/bar.baz", EXISTS)]),
        ("1a_b-c.d", [Term("1a_b-c.d", EXISTS)]),
        ("foo,!bar", [Term("foo", EXISTS), Term("bar", ABSENT)]),
        ("foo=bar", [Term("foo", IN, ("bar",))]),
        ("foo=1", [Term("foo", IN, ("1",))]),
        ("foo!=bar", [Term("foo", NOT_IN, ("bar",))]),
        (" foo = bar , baz != 2 ", [Term("foo", IN, ("bar",)), Term("baz", NOT_IN, ("2",))]),
        ("foo/bar.baz = baz", [Term("foo/bar.baz", IN, ("baz",))]),
        ("foo in (bar, baz)", [Term("foo", IN, ("bar", "baz"))]),
        ("foo in(bar)", [Term("foo", IN, ("bar",))]),
        ("foo notin ( a,b ,c )", [Term("foo", NOT_IN, ("a", "b", "c"))]),
        ("foo in ()", [Term("foo", IN)]),
        ("in in (in),notin", [Term("in", IN, ("in",)), Term("notin", EXISTS)]),
        ("a in (b),c", [Term("a", IN, ("b",)), Term("c", EXISTS)]),
    ],
)
def test_drogue_70_the_grammar(text: str, terms: list[Term]) -> None:
    assert parse(text) == terms


@pytest.mark.parametrize(
    "text",
    [
        "foo,#",
        "#",
        ",",
        "foo,",
        ",foo",
        "foo,,bar",
        "/bar",
        "foo/",
        "foo/bar/baz",
        "foo-bar/baz",
        "1foo/bar",
        "-foo",
        "foo=",
        "foo==bar",
        "foo= =bar",
        "=bar",
        "!",
        "!!foo",
        "!foo=bar",
        "foo bar",
        "foo in",
        "foo in (",
        "foo in (bar",
        "foo in (bar,)",
        "foo in (,bar)",
        "foo in bar",
        "foo notin (a b)",
        "foo in (a) b",
        "foo)",
        "fö",
        "foo=bär",
        "foo\n=bar",
        "foo\tin (a)",
        "'; DROP TABLE devices; --",
        "x" * (LONGEST + 1),
    ],
)
def test_drogue_70_what_is_not_of_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(FreeholdError) as refused:
        parse(text)
    assert refused.value.refusal.code == "request.invalid"
    assert refused.value.legacy_body()["error"] == "InvalidRequest"


@pytest.mark.parametrize(("text", "position"), [("foo,#", 5), ("#", 1), ("foo=", 5), ("a in (b c)", 9)])
def test_the_refusal_says_where(text: str, position: int) -> None:
    with pytest.raises(FreeholdError, match=f"character {position}"):
        parse(text)


words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,8}", fullmatch=True)
labels = st.tuples(st.from_regex(r"([A-Za-z][A-Za-z0-9.]{0,5}/)?", fullmatch=True), words).map("".join)
blanks = st.text(" ", max_size=2)
terms = st.one_of(
    st.builds(Term, labels, st.sampled_from([EXISTS, ABSENT])),
    st.builds(Term, labels, st.sampled_from([IN, NOT_IN]), st.lists(words, max_size=3).map(tuple)),
)


@st.composite
def written(draw: st.DrawFn, term: Term) -> str:
    """`term` in one of the ways to write it."""
    b = [draw(blanks) for _ in range(8)]
    if term.operator is EXISTS:
        return f"{b[0]}{term.label}{b[1]}"
    if term.operator is ABSENT:
        return f"{b[0]}!{b[1]}{term.label}{b[2]}"
    if len(term.values) == 1 and draw(st.booleans()):
        sign = "=" if term.operator is IN else "!="
        return f"{b[0]}{term.label}{b[1]}{sign}{b[2]}{term.values[0]}{b[3]}"
    values = ",".join(f"{draw(blanks)}{value}{draw(blanks)}" for value in term.values)
    return f"{b[0]}{term.label} {b[1]}{term.operator.value}{b[2]}({values}){b[3]}"


@given(st.data(), st.lists(terms, max_size=6))
def test_whatever_way_terms_are_written_they_are_read(data: st.DataObject, wanted: list[Term]) -> None:
    text = ",".join(data.draw(written(term)) for term in wanted)
    assert parse(text) == wanted


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("fo/=!,() in#-._", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except FreeholdError as refused:
        assert refused.refusal.code == "request.invalid"  # noqa: PT017
    else:
        assert all(term.label for term in found)


def matches(term: Term, labels: Mapping[str, str]) -> bool:
    """The meaning of a term (contract drogue.md 4.1), in Python."""
    has = term.label in labels
    if term.operator is EXISTS:
        return has
    if term.operator is ABSENT:
        return not has
    return has and (labels[term.label] in term.values) is (term.operator is IN)


DEVICES = [
    {},
    {"a": "1"},
    {"a": "2"},
    {"a": "1", "b": "1"},
    {"a": "2", "b": "2"},
    {"b": "1"},
    {"x/a": "1"},
    {"a": ""},
    {"a": "'"},
    {"A": "1"},
]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> RegistryService:
    from sqlalchemy import insert

    from freehold.core.database import METADATA
    from freehold.identity.tables import tenants
    from tests.registry.conftest import House, app

    house = House(Path(tmp_path_factory.mktemp("labels")) / "meta.db")
    database = house.database()
    METADATA.create_all(database.engine)
    with database.write() as connection:
        connection.execute(insert(tenants).values(uid=OURS, name=OURS, created=1))
    registry = house.registry()
    registry.create_application(OURS, app())
    registry.create_devices(OURS, [device(f"d{i}", labels=each) for i, each in enumerate(DEVICES)])
    return registry


small = st.one_of(
    st.builds(Term, st.sampled_from(["a", "b", "x/a"]), st.sampled_from([EXISTS, ABSENT])),
    st.builds(
        Term,
        st.sampled_from(["a", "b", "x/a"]),
        st.sampled_from([IN, NOT_IN]),
        st.lists(st.sampled_from(["1", "2", "3"]), max_size=3).map(tuple),
    ),
)


@settings(max_examples=150)
@given(st.data(), st.lists(small, max_size=3))
def test_drogue_70_the_database_finds_what_the_terms_mean(
    labelled: RegistryService, data: st.DataObject, wanted: list[Term]
) -> None:
    text = ",".join(data.draw(written(term)) for term in wanted)
    found = [each.metadata["name"] for each in labelled.list_devices(OURS, "app1", labels=text)]
    expected = [f"d{i}" for i, each in enumerate(DEVICES) if all(matches(term, each) for term in wanted)]
    assert found == expected


def test_drogue_70_unequal_does_not_match_what_lacks_the_label(labelled: RegistryService) -> None:
    names = [each.metadata["name"] for each in labelled.list_devices(OURS, "app1", labels="b!=1")]
    assert names == ["d4"]
    names = [each.metadata["name"] for each in labelled.list_devices(OURS, "app1", labels="b notin ()")]
    assert names == ["d3", "d4", "d5"]
