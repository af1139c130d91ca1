"""The warehouse's own database, in figures."""

from sinks.warehouse import Transaction
from tillstream import metrics

_BYTES = "SELECT pg_database_size(current_database())"
_CONNECTIONS = """\
SELECT coalesce(state, 'other'), count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' GROUP BY 1"""


def tell_database(tx: Transaction) -> None:
    metrics.WAREHOUSE_BYTES.replace({(): tx.value(_BYTES)})
    metrics.WAREHOUSE_CONNECTIONS.replace({(state,): count for state, count in tx.rows(_CONNECTIONS)})
