# SPDX-License-Identifier: Apache-2.0
"""Floor 1: keys and the sealing of secrets."""
