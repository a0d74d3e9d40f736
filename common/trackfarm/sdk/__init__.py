"""The Python SDK: a farm, its jobs and their tracks as objects, blocking and for asyncio."""
