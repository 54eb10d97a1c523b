# SPDX-License-Identifier: Apache-2.0
"""The pages, one module each. `routes(console)` gives a module's routes."""
