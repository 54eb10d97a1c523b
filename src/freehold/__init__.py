# SPDX-License-Identifier: Apache-2.0
"""Freehold: an IoT and digital-twin platform that its users own."""

__version__ = "0.1.0"
