# SPDX-License-Identifier: Apache-2.0
"""Floor 3: telemetry, its contract and its engines."""
