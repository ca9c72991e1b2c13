"""The replicated log: journal, hard state, and the replicators that feed committed entries to the machine.

It must not know what a command means, nor who asked for it. Everything it does to the outside goes through the ports in
`rustqueue.raft.ports`, so that the same code runs on a real disk and in the simulator.
"""
