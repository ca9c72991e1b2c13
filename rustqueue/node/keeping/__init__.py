"""What a node keeps in order beside serving: what it proposes at its start, entries that it refuses, backups."""
