# SPDX-License-Identifier: Apache-2.0
"""Floor 2: applications, devices and their credentials."""
