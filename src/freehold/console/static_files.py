# SPDX-License-Identifier: Apache-2.0
"""The console's files: addressed by what they hold, compressed once, cached by browsers for ever.

One hash over the whole tree is a folder in every address (`/static/1f3c…/js/main.js`), so that modules and
style sheets reach each other by relative addresses and still never meet a file of another version.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"

_FOR_EVER = "public, max-age=31536000, immutable"
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_COMPRESSED = frozenset({".js", ".css", ".svg", ".json"})
_NOT_SERVED = frozenset({"manifest.json"})


class AssetsMissing(RuntimeError):
    """The third-party files were never fetched: this is a checkout, not a wheel."""


@dataclass(slots=True)
class Asset:
    """One file in memory. `compressed` is made when it is first asked for."""

    content: bytes
    media_type: str
    compressible: bool
    compressed: bytes | None = None

    def body(self, accepts_gzip: bool) -> tuple[bytes, bool]:
        """The bytes to send, and whether they are compressed."""
        if not (accepts_gzip and self.compressible):
            return self.content, False
        if self.compressed is None:
            self.compressed = gzip.compress(self.content, 6, mtime=0)
        return self.compressed, True


class StaticFiles:
    """All files below `folder`, read once at start: three megabytes that never change while we run."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._assets = {
            path.relative_to(folder).as_posix(): _load(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in _NOT_SERVED
        }
        total = hashlib.sha256()
        for name, asset in self._assets.items():
            total.update(f"{name}\0{len(asset.content)}\0".encode() + asset.content)
        self.version = total.hexdigest()[:16]

    def url(self, name: str) -> str:
        """Address of a file. Raises KeyError for one that does not exist: a page must not name it."""
        if name not in self._assets:
            raise KeyError(name)
        return f"/static/{self.version}/{name}"

    def require(self, *names: str) -> None:
        """Raises `AssetsMissing` unless all of these are there."""
        absent = [name for name in names if name not in self._assets]
        if absent:
            raise AssetsMissing(
                f"the console lacks {', '.join(absent)}: install a wheel, or run `make demo` once in the checkout"
            )

    def respond(self, request: Request, version: str, name: str) -> Response:
        """The file, 304 where the browser has it, 404 where there is none."""
        asset = self._assets.get(name)
        if asset is None:
            return Response("no such file", 404, media_type="text/plain")
        # A page of before an upgrade may ask for the former version: it gets the present file, uncached.
        current = version == self.version
        headers = {
            "Cache-Control": _FOR_EVER if current else "no-cache",
            "ETag": f'"{self.version}"',
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        body, compressed = asset.body("gzip" in request.headers.get("accept-encoding", ""))
        if compressed:
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers, media_type=asset.media_type)


def _load(path: Path) -> Asset:
    suffix = path.suffix
    media_type = _TYPES.get(suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(path.read_bytes(), media_type, suffix in _COMPRESSED)
