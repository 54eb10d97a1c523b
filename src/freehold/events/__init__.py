# SPDX-License-Identifier: Apache-2.0
"""Floor 1: the Event, its CloudEvents mappings and the rules for content types."""
