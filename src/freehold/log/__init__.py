# SPDX-License-Identifier: Apache-2.0
"""Floor 2: the event log, its contract and its engines."""
