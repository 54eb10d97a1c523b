# SPDX-License-Identifier: Apache-2.0
"""Floor 2: tenants, people and what they may do."""
