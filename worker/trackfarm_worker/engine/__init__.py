"""The engine: one process that holds the model and makes tracks, and the worker's side of it.

`parent`: runs in the worker process; starts, supervises and calls the engine. Imports no torch.
`child`: runs in the engine process; `python -m trackfarm_worker.engine.child`.
`protocol` and `options`: shared by both; the messages between them and the settings of the child.
"""
