# SPDX-License-Identifier: Apache-2.0
"""Floor 0: what every other package stands on and nothing of ours above it."""
