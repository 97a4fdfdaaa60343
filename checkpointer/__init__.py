"""The process that signs checkpoints of the audit log: `python -m checkpointer`."""
