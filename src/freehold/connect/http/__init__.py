# SPDX-License-Identifier: Apache-2.0
"""HTTP for devices (drogue.md 1.2): request target and head, answers, and the endpoint that serves them."""
