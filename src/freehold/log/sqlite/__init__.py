# SPDX-License-Identifier: Apache-2.0
"""The embedded event log: SQLite in WAL mode, one writer thread with group commit, readers that never block it."""
