"""A witness of transparency logs, for somebody who does not run the log.

It imports nothing of the application but `utils`, so it can be copied to another
house. docs/witness.md is for who runs it, docs/decisions/0010-witness.md says why.
"""
