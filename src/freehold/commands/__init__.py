# SPDX-License-Identifier: Apache-2.0
"""Floor 3: the life of a command and its way to a connected device."""
