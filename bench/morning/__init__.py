"""Exam morning as a program: students through nginx and gunicorn to PostgreSQL.

The clients are open-loop: who does what when is drawn beforehand, and a latency counts
from the moment that was drawn, so a server that is late cannot slow its questions down
(Gil Tene calls the contrary coordinated omission). docs/exam-morning.md
"""
