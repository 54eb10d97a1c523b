# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1 and 5.0: the wire codec (pure functions), topic rules, and the device endpoint."""
