"""What PostgreSQL refuses: tried again, set aside, or told to a person, by its code alone."""

import psycopg
import pytest
from psycopg import errors

from sinks.warehouse import DataError, error_for
from tillstream.errors import RefusedError, TransientError, UnreachableError


@pytest.mark.parametrize(
    "fault",
    [
        errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable, errors.QueryCanceled,
        errors.DiskFull, errors.OutOfMemory, errors.TooManyConnections, errors.AdminShutdown, errors.CrashShutdown,
        errors.CannotConnectNow, errors.ReadOnlySqlTransaction, errors.ConnectionFailure, errors.IoError,
    ],
)  # fmt: skip
def test_what_passes_is_tried_again(fault: type[psycopg.Error]) -> None:
    """Deadlocks, a full disk, a statement's time, a restart, a failover: the same batch goes in later."""
    assert isinstance(error_for(fault("no")), TransientError)


@pytest.mark.parametrize(
    "fault", [errors.NumericValueOutOfRange, errors.UntranslatableCharacter, errors.CharacterNotInRepertoire]
)
def test_a_value_is_set_aside(fault: type[psycopg.Error]) -> None:
    """And nothing else of its batch."""
    assert isinstance(error_for(fault("no")), DataError)


@pytest.mark.parametrize(
    "fault",
    [errors.UndefinedColumn, errors.UndefinedTable, errors.DatatypeMismatch, errors.InsufficientPrivilege,
     errors.InvalidPassword, errors.InvalidCatalogName, errors.DependentObjectsStillExist],
)  # fmt: skip
def test_what_somebody_changed_is_told(fault: type[psycopg.Error]) -> None:
    """A column that an analyst dropped does not come back by trying."""
    assert isinstance(error_for(fault("no")), RefusedError)


def test_a_server_that_is_away_is_no_fault_of_the_batch() -> None:
    """A lost connection has no code."""
    assert isinstance(error_for(psycopg.OperationalError("connection refused")), UnreachableError)


def test_our_own_mistakes_are_not_hidden() -> None:
    """A NOT NULL of our bookkeeping that is broken is neither waited for nor set aside."""
    assert error_for(errors.NotNullViolation("no")) is None
