"""No key is shown, whoever put it into a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headprune.redact import redacted

KEY = "a key/of+many=letters"


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "HF_TOKEN", "my_secret", "DB_PASSWORD", "PGPASSWD", "AWS_SECRET_ACCESS_KEY"]
)
def test_the_value_of_a_key_variable_is_hidden(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, f" {KEY}\n")
    assert redacted(f"refused {KEY!r}, twice {KEY}") == "refused '***', twice ***"
    assert redacted("GET /?q=a%20key%2Fof%2Bmany%3Dletters") == "GET /?q=***"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "short"),
        ("HF_TOKEN_PATH", "/home/me/token"),
        ("PATH", "/usr/local/bin"),
        ("SSH_KEY_FILE", "/x/y/z/k"),
    ],
)
def test_what_is_no_key_stays(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert redacted(f"at {value}") == f"at {value}"


def test_a_key_that_holds_another_is_hidden_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "12345678")
    monkeypatch.setenv("B_TOKEN", "123456789abc")
    assert redacted("it is 123456789abc") == "it is ***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("{'authorization': 'Basic dXNlcjpwYXNz', 'accept': '*'}", "{'authorization': 'Basic ***', 'accept': '*'}"),
        ("Authorization=token0123, next", "Authorization=***, next"),
        ("sent bearer 0123456789abcdef", "sent bearer ***"),
        ("https://me:pass@host.org/v1", "https://***@host.org/v1"),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg://***@host/db"),
        ("https://host/f?X-Amz-Signature=abc&x=1", "https://host/f?X-Amz-Signature=***&x=1"),
        ("/v1?api_key=abc#top", "/v1?api_key=***#top"),
        ("Incorrect API key: sk-proj-0123456789abcdef.", "Incorrect API key: ***."),
        ("hf_" + "aB3" * 11 + " is no token", "*** is no token"),
    ],
)
def test_what_looks_like_a_key_is_hidden(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "a ring bearer standing in a church",
        "a risk-averse-and-careful-looking man",
        "ask-me-something-about-it",
        "https://huggingface.co/Salesforce/blip2-opt-2.7b",
        "coco:./captions.json:images",
        "hf_device_map and hf_quantizer_of_the_model",
        "mail me@host.org",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert redacted(text) == text


@given(st.text())
def test_hidden_once_is_hidden_twice(text: str) -> None:
    once = redacted(f"https://{text}")
    assert redacted(once) == once


@pytest.mark.parametrize("piece", ["a.", "://", "authorization:", "bearer ", "?key", "sk-", "http://a:", "x@"])
def test_a_long_hostile_text_is_read_to_its_end(piece: str) -> None:
    """With a repeat that has no bound this takes minutes."""
    assert redacted(piece * 100_000 + " https://me:pass@host").endswith(" https://***@host")
