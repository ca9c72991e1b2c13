"""Who may ask what: the matrix of every route and verb, every role, own and foreign queues."""
