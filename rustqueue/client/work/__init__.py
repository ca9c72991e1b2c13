"""The worker runtime: pulling, running, reporting. Built on the asyncio client; knows no sockets and no server."""
