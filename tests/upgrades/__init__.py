"""Two versions of the program beside each other: this one, and one that does not exist yet."""
