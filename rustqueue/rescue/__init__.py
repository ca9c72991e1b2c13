"""What is done with the data of a node that does not run: backups, a lost majority, bad entries."""
