# SPDX-License-Identifier: Apache-2.0
"""Floor 3: the owner's Python over events."""
