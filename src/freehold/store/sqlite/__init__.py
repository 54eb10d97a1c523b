# SPDX-License-Identifier: Apache-2.0
"""The embedded telemetry engine on SQLite: one writer thread, readers in any process, rollups behind both."""
