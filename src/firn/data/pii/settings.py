"""Settings of the stage `pii`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from firn.core.settings import Settings

Kind = Literal["key", "email", "iban", "ip", "card", "national_id", "phone"]
#: Where two overlap, the earlier counts. Bit i of `rules` in the ledger is kind i.
KINDS: tuple[Kind, ...] = ("key", "email", "iban", "ip", "card", "national_id", "phone")

Country = Literal["us", "ca", "br", "es", "fr", "it", "de", "pl", "se", "fi", "cn", "in", "gb", "nl", "be", "jp", "kr"]


class PiiSettings(Settings):
    """What stands in the place of each kind of personal data; empty: nothing does; null: that kind is left alone."""

    email: str | None = "[e-mail]"
    """E-mail addresses."""
    phone: str | None = "[phone number]"
    """Telephone numbers, those that are written as such or announced by a word."""
    ip: str | None = "[IP address]"
    """Public IP addresses of versions 4 and 6."""
    card: str | None = "[card number]"
    """Numbers of payment cards."""
    iban: str | None = "[account number]"
    """International bank account numbers."""
    national_id: str | None = "[personal number]"
    """National numbers of persons."""
    key: str | None = "[key]"
    """Keys, tokens and passwords, as they are left in code."""
    countries: tuple[Country, ...] = (
        "us",
        "ca",
        "br",
        "es",
        "fr",
        "it",
        "de",
        "pl",
        "se",
        "fi",
        "cn",
        "in",
        "gb",
        "nl",
        "be",
        "jp",
        "kr",
    )
    """Countries whose national numbers are looked for."""
    most: int | None = Field(default=None, ge=0)
    """A document with more of them is removed, since it may be a list of persons; null: no document is."""

    @property
    def placeholders(self) -> dict[Kind, str]:
        """Kinds that are looked for, with what stands in their place."""
        return {kind: text for kind in KINDS if (text := getattr(self, kind)) is not None}
