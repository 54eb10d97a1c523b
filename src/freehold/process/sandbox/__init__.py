# SPDX-License-Identifier: Apache-2.0
"""Workers for processors: bubblewrap around them, frames to and from them, a watchdog over them."""

from freehold.process.sandbox.engines import Bubblewrap, Unsandboxed, choose
from freehold.process.sandbox.limits import Limits

__all__ = ["Bubblewrap", "Limits", "Unsandboxed", "choose"]
