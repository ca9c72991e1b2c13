"""The verbs, a module for each family: each builds the calls that the clients offer as methods."""
