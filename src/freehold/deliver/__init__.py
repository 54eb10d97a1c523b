# SPDX-License-Identifier: Apache-2.0
"""Floor 3: consumers of an application's events."""
