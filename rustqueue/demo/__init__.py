"""`rustqueue demo`: real files through a durable node that is killed in the middle.

It uses the product from outside only: it starts `rustqueue serve` as a child and talks to it with the public client,
as anybody could. Invariant: it claims nothing that it has not compared with its own records or with a plain loop.
"""
