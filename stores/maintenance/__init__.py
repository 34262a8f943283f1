"""Maintenance of a store: sweep, compact, index, check and repair, embed again, merge, delete.

Each module holds functions that take an open `Store`, as in `stores.maintenance.compact.compact(store)`.
"""
