"""The way to the warehouse that Debezium takes is as safe as our own."""

from typing import cast

import pytest
import sqlalchemy

from sinks.warehouse import Warehouse
from tillstream.pipeline import _offset_store


class _At:
    def __init__(self, url: str) -> None:
        self.url = sqlalchemy.make_url(url)


def jdbc_url(query: str) -> str:
    warehouse = _At(f"postgresql+psycopg://me:secret@db.example.com/chain{query}")
    return _offset_store(cast(Warehouse, warehouse)).jdbc_url


def test_without_a_query_the_driver_decides() -> None:
    """Nothing but the schema is said where the URL says nothing."""
    assert jdbc_url("") == "jdbc:postgresql://db.example.com:5432/chain?currentSchema=debezium"


@pytest.mark.parametrize("mode", ["disable", "require", "verify-ca", "verify-full"])
def test_tls_is_asked_for_as_in_the_url(mode: str) -> None:
    """How much TLS the warehouse's URL asks for, Debezium's connections ask for."""
    assert f"&sslmode={mode}" in jdbc_url(f"?sslmode={mode}")


def test_certificates_are_those_of_the_url() -> None:
    """Files keep their names, with whatever letters; what psycopg alone knows is left out."""
    url = jdbc_url("?sslmode=verify-full&sslrootcert=/a%26b/ca.pem&sslcert=/c.pem&sslkey=/k.pem&keepalives_idle=5")
    assert url.endswith(
        "?currentSchema=debezium&sslmode=verify-full&sslrootcert=/a%26b/ca.pem&sslcert=/c.pem&sslkey=/k.pem"
    )
