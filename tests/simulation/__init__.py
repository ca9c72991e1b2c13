"""The simulator: one real node in a world of simulated time, disk, threads, clients and faults, all from one seed."""
