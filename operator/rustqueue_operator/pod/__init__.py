"""What a node needs to know about its place in a StatefulSet. Runs inside the nodes' pods, not in the operator."""
