# SPDX-License-Identifier: Apache-2.0
"""Floor 5: the commands of the freehold program."""
