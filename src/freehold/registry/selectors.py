# SPDX-License-Identifier: Apache-2.0
"""Label selectors (contract drogue.md 4.1): text → terms → SQL.

    selector = [ term *( "," term ) ]
    term     = label / "!" label
             / label "=" value / label "!=" value
             / label SP "in" "(" [ values ] ")" / label SP "notin" "(" [ values ] ")"
    label    = [ ALPHA *( ALPHA / DIGIT / "." ) "/" ] value
    value    = 1*( ALPHA / DIGIT ) *( ALPHA / DIGIT / "_" / "-" / "." )

Blanks may stand around every part. As in Drogue, and unlike Kubernetes, `!=` and `notin` do not match what
lacks the label.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import ColumnElement, Table, exists

from freehold.core.errors import REQUEST_INVALID

LONGEST = 4096
"""Characters of a selector. Together with the shortest term this bounds the query too."""

_VALUE = r"[A-Za-z0-9][A-Za-z0-9_.\-]*"
_LABEL = re.compile(rf"(?:[A-Za-z][A-Za-z0-9.]*/)?{_VALUE}")
_WORD = re.compile(_VALUE)
_COMPARE = re.compile(r" *(!=|=) *")
_SET = re.compile(r" +(in|notin) *\( *")
_BLANKS = re.compile(r" *")


class Operator(Enum):
    EXISTS = "exists"
    ABSENT = "absent"
    IN = "in"
    NOT_IN = "notin"


@dataclass(frozen=True, slots=True)
class Term:
    """One condition on label `label`. `=` is IN with one value, `!=` NOT_IN with one."""

    label: str
    operator: Operator
    values: tuple[str, ...] = ()


def parse(text: str) -> list[Term]:
    """The terms of a selector, all of which must hold; none for blank text. Raises `request.invalid`."""
    if len(text) > LONGEST:
        raise REQUEST_INVALID.error(f"labels: at most {LONGEST} characters")
    reader = _Reader(text)
    reader.skip(_BLANKS)
    if reader.at_end():
        return []
    terms = [reader.term()]
    while not reader.at_end():
        reader.expect(",")
        terms.append(reader.term())
    return terms


def condition(terms: list[Term], labels: Table, resource: ColumnElement[str]) -> list[ColumnElement[bool]]:
    """The terms as SQL over table `labels`, whose rows belong to the row with uid `resource`."""
    return [_condition(term, labels, resource) for term in terms]


def _condition(term: Term, labels: Table, resource: ColumnElement[str]) -> ColumnElement[bool]:
    c = labels.c
    labelled = exists().where(c.resource == resource, c.key == term.label)
    match term.operator:
        case Operator.EXISTS:
            return labelled
        case Operator.ABSENT:
            return ~labelled
        case Operator.IN:
            return labelled.where(c.value.in_(term.values))
        case Operator.NOT_IN:
            return labelled.where(c.value.not_in(term.values))


class _Reader:
    """Reads terms from left to right; every method leaves the position behind trailing blanks."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def at_end(self) -> bool:
        return self._position == len(self._text)

    def term(self) -> Term:
        self.skip(_BLANKS)
        if self.skip(re.compile("!")):
            return Term(self._token(_LABEL, "a label"), Operator.ABSENT)
        label = self._match(_LABEL, "a label")
        if found := self.skip(_COMPARE):
            value = self._token(_WORD, "a value")
            return Term(label, Operator.IN if found.group(1) == "=" else Operator.NOT_IN, (value,))
        if found := self.skip(_SET):
            return Term(label, Operator(found.group(1)), self._values())
        self.skip(_BLANKS)
        return Term(label, Operator.EXISTS)

    def _values(self) -> tuple[str, ...]:
        values: list[str] = []
        if not self.skip(re.compile(r"\) *")):
            values.append(self._token(_WORD, "a value"))
            while not self.skip(re.compile(r"\) *")):
                self.expect(",")
                values.append(self._token(_WORD, "a value"))
        return tuple(values)

    def expect(self, character: str) -> None:
        if not self.skip(re.compile(f"{re.escape(character)} *")):
            raise self._error(f"`{character}`")

    def skip(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._position)
        if found:
            self._position = found.end()
        return found

    def _match(self, pattern: re.Pattern[str], what: str) -> str:
        found = self.skip(pattern)
        if found is None:
            raise self._error(what)
        return found.group()

    def _token(self, pattern: re.Pattern[str], what: str) -> str:
        self.skip(_BLANKS)
        token = self._match(pattern, what)
        self.skip(_BLANKS)
        return token

    def _error(self, expected: str) -> Exception:
        return REQUEST_INVALID.error(f"labels: expected {expected} at character {self._position + 1}")
