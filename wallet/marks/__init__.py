"""
Marks: what a payer binds into his order, hidden, and opens later part by part.

    mark.py    the commitment in an order's note field, and its openings
"""
