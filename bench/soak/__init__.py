"""Half an hour of students who come and go, after which everything is flat (R27)."""
