"""Logging into a MySQL or MariaDB, by TLS where the server offers it."""

from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import pymysql

if TYPE_CHECKING:
    _Connection: TypeAlias = pymysql.connections.Connection[Any]
else:
    _Connection = pymysql.connections.Connection  # no generic at run time


def log_in(**options: Any) -> "_Connection":
    """pymysql's connection, by its own options but those for TLS."""
    return _Login(**options)


@cache
def _tls() -> Any:
    plain: Any = pymysql.connections.Connection(defer_connect=True)
    return plain.ctx


class _Login(_Connection):
    """The driver makes a TLS context for each login, and reads the machine's authorities, which it then does not ask:
    that takes longer than the login."""

    def _create_ssl_ctx(self, sslp: object) -> Any:
        return _tls()
