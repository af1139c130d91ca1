"""Five Grafana dashboards, made from code: `make dashboards` writes the JSON files that stand beside it.

Grafana takes the JSON files alone; nothing of Tillstream imports this, and it is not installed with it.
"""
