# SPDX-License-Identifier: Apache-2.0
"""Floor 3: the gate, normalise and the endpoints that devices talk to."""
