# SPDX-License-Identifier: Apache-2.0
"""The program inside the sandbox: loads one processor and runs it over batches of events.

This folder is bound into the sandbox as it is, so its modules import the standard library and each other
and nothing else of Freehold. `msgspec` is used where the sandbox offers it (six times faster than `json`).
Whatever runs here is in the hands of the script: the host believes nothing that comes out of it.
"""
