"""Reads that need more than a row or a page: scaling, reasons, histories, groups of dead jobs, workers.

Like all reads they change nothing and look at a bounded number of rows; `machine.queries` asks them.
"""
