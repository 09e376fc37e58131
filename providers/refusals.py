"""What a vendor's error means: which of our errors it is, told by its status and its codes."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime

import httpx2

from providers import base
from providers.base import ProviderError

# The vendors' free text may quote the prompt, so it is looked at and never passed on.
MONEY = re.compile(r"insufficient_quota|billing|credit_|spend_|usage_limit|payment_required")
MONEY_SAID = re.compile(r"credit balance|usage limits?\b|spend(ing)? limit", re.IGNORECASE)
TOO_LONG = re.compile(r"context_length|context_size|context_window|request_too_large|string_above_max_length")
TOO_LONG_SAID = re.compile(r"prompt is too long|maximum context length|context window", re.IGNORECASE)

STATUSES = {
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
} | {str(status): status for status in range(400, 600)}


def words_of(error: object) -> tuple[str, str]:
    """Return an error's code and type in one string, and its message in another."""
    while isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    if not isinstance(error, dict):
        return "", ""
    details = error.get("details")
    codes = [
        error.get("code"),
        details.get("error_code") if isinstance(details, dict) else None,
        error.get("type"),
    ]
    return " ".join(str(code) for code in codes if code), str(error.get("message") or "")


def kind_of(status: int, words: str, message: str) -> type[ProviderError]:
    """Return which of our errors a status, an error's words and its message mean."""
    said = message if status < 500 else ""
    if status == 402 or MONEY.search(words) or MONEY_SAID.search(said):
        return base.OutOfCredit
    if status == 413 or TOO_LONG.search(words) or TOO_LONG_SAID.search(said):
        return base.TooLong
    if status == 404 or "model_not_found" in words:
        return base.UnknownModel
    if status in (401, 403):
        return base.KeyRefused
    if status == 429 or status >= 500:
        return base.Busy
    return base.BadRequest


def retry_after(headers: httpx2.Headers) -> float | None:
    """Return the seconds to wait that a `Retry-After` tells, as a number or as a date, if it tells any."""
    value = headers.get("retry-after", "")
    if value.isascii() and value.isdigit():
        return float(value)
    with suppress(ValueError, OverflowError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None
