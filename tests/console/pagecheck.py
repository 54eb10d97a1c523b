# SPDX-License-Identifier: Apache-2.0
"""Reads a page as a browser would and says what is wrong with it; used by several tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
FIELDS = frozenset({"input", "select", "textarea"})
ADDRESSES = ("href", "src", "action", "hx-get", "hx-post")


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """All elements of a page, in order, with the text inside them."""

    elements: list[Element] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(set(names)) != len(names):
            self.problems.append(f"<{tag}> has an attribute twice: {names}")
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1].tag != tag:
            self.problems.append(f"</{tag}> closes <{self._open[-1].tag if self._open else 'nothing'}>")
            return
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def close(self) -> None:
        super().close()
        self.problems += [f"<{element.tag}> is never closed" for element in self._open]

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def addresses(self, *names: str) -> set[str]:
        return {
            value
            for element in self.elements
            for name in names or ADDRESSES
            if (value := element.attributes.get(name)) is not None
        }


def read(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    return page


def policy_breaches(page: Page) -> list[str]:
    """What the Content-Security-Policy would stop, or what only `unsafe-…` would let through."""
    found = []
    for element in page.elements:
        attributes = element.attributes
        if element.tag == "script" and "src" not in attributes and attributes.get("type") != "application/json":
            found.append("an inline script")
        if element.tag == "style" or "style" in attributes:
            found.append(f"an inline style on <{element.tag}>")
        found += [f"{name} on <{element.tag}>" for name in attributes if name.startswith(("on", "hx-on"))]
        for name in ADDRESSES:
            value = (attributes.get(name) or "").strip().lower()
            if value.startswith(("javascript:", "data:", "//", "http:", "https:")):
                found.append(f"{name}={value[:40]}")
    return found


def reachability_faults(page: Page) -> list[str]:
    """What somebody with a keyboard or a screen reader would miss; axe-core finds more in the browser test."""
    found = list(page.problems)
    ids = [element.attributes["id"] for element in page.elements if element.attributes.get("id")]
    found += [f"the id {one} is there twice" for one in {one for one in ids if ids.count(one) > 1}]
    labelled = {element.attributes.get("for") for element in page.all("label")}
    for element in page.elements:
        attributes = element.attributes
        named = attributes.get("aria-label") or attributes.get("aria-labelledby")
        typed = element.tag in FIELDS and attributes.get("type") not in {"hidden", "radio", "checkbox"}
        if typed and not named and attributes.get("id") not in labelled:
            found.append(f"<{element.tag} name={attributes.get('name')}> has no label")
        if element.tag in {"button", "a"} and not (named or element.text.strip()):
            found.append(f"<{element.tag}> says nothing")
        if element.tag == "button" and "type" not in attributes:
            found.append("a button without a type submits what it should not")
        if element.tag == "img" and "alt" not in attributes:
            found.append("<img> without alt")
        if element.tag == "dialog" and not named:
            found.append("<dialog> without a name")
        for name in ("aria-labelledby", "aria-describedby", "aria-controls"):
            for target in (attributes.get(name) or "").split():
                if target not in ids:
                    found.append(f"{name} points at {target}, which is not there")
    return found
