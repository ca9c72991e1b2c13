"""Certificates of the links between nodes: renewed in time, by the authority that the chart made for the release."""
