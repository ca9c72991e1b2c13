"""What clients saw of a queue, and whether it kept its word: the format of a history and its judge.

`lines` is the format, one line of JSON for each call; `verdict` compares all calls with the state at the end; `linear`
searches for an order in which the calls on one job make sense; `figures` counts; `report` puts it together for
`rustqueue check HISTORY`. Pure but for reading the file: it knows nothing of nodes, processes or networks.
"""
