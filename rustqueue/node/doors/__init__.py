"""What a node opens to its clients: ports, and what may come in by them."""
