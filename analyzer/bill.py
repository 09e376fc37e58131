"""What the calls of one analysis have cost, as far as their providers told, else by an estimate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models import millionths
from providers.base import (
    Broken,
    Prompt,
    Provider,
    ProviderError,
    Reply,
    TooLong,
    Usage,
    estimate_tokens,
)


class Bill:
    """Sums up the calls of one analysis."""

    def __init__(self, provider: Provider, model: str) -> None:
        self.provider = provider
        self.model = model
        self.fields: dict[str, Any] = {}

    @property
    def expense(self) -> dict[str, int]:
        """What all of it comes to, as `Expense.settle` is told: nothing where no call was answered."""
        if "price" not in self.fields:
            return {"amount": 0}
        tokens = {name: self.fields[name] for name in ("input_tokens", "output_tokens")}
        # What is not known must not take the place of what was reserved.
        price = self.fields["price"]
        return tokens if price is None else {"amount": millionths(price), **tokens}

    def add(
        self, prompt: Prompt, reply: Reply | None, written: int, failure: Exception | None = None
    ) -> None:
        """Add a call: what was asked, what came of it, about how many tokens, and what went wrong with it."""
        fields = self._spent(prompt, reply, written, failure)
        if not (self.fields and fields):
            self.fields = self.fields or fields
            return
        for name in ("input_tokens", "output_tokens", "cached_tokens"):
            self.fields[name] = self.fields.get(name, 0) + fields.get(name, 0)
        self.fields["usage_is_estimate"] |= fields["usage_is_estimate"]
        if "price" in fields:
            prices = self.fields["price"], fields["price"]
            self.fields["price"] = None if None in prices else sum(prices)

    def _spent(
        self, prompt: Prompt, reply: Reply | None, written: int, failure: Exception | None
    ) -> dict[str, Any]:
        if isinstance(failure, TooLong):
            # It was not read: how long it was is worth telling only where nothing else was paid for.
            asked = {"input_tokens": tokens_in(prompt), "usage_is_estimate": True}
            return {} if self.fields else asked
        refused = isinstance(failure, ProviderError) and not isinstance(failure, Broken)
        if reply is None or (refused and not written):
            return {}
        told = reply.usage
        usage = told or Usage(tokens_in(prompt), 0)
        # Without its terminal marker a reply has told at most what it began with.
        is_estimate = told is None or reply.stop_reason is None
        if is_estimate:
            usage = replace(usage, output=max(usage.output, written))
        return {
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "cached_tokens": usage.cached,
            "usage_is_estimate": is_estimate,
            "price": self.provider.price(usage, self.model),
        }


def tokens_in(prompt: Prompt) -> int:
    """Return about how many tokens a prompt has."""
    return sum(map(estimate_tokens, (prompt.instructions, prompt.document, prompt.request, prompt.answer)))
