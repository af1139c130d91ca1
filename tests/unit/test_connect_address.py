"""`capture: {connect: ...}` is one address."""

import pytest

from tillstream.config_file import _http_url


def test_several_addresses_are_refused() -> None:
    """What no request could be made to is refused with the file, and told what it must be."""
    with pytest.raises(ValueError, match="must be the URL"):
        _http_url("http://a:8083,http://b:8083")


def test_one_address_is_taken() -> None:
    """With or without a slash at its end."""
    assert _http_url("https://connect.example.com:8083/") == "https://connect.example.com:8083"
