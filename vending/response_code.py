"""Every answer the system can give, as one ordered enum.

Members stand in order of precedence: when several refusals apply, the first one is answered. Each has one meaning. How a network
spells it in its data element 39 is the business of that network's adapter (package ``acquirers``).
"""

from enum import Enum


class ResponseCode(Enum):
    """What became of a request.

    The value is the stable name used in logs, metrics and the journal.
    """

    APPROVED = "approved"

    # The message itself.
    FORMAT_ERROR = "format_error"
    """A field is missing, malformed or not allowed here."""
    UNSUPPORTED_MESSAGE = "unsupported_message"
    """An MTI that this port does not serve, or an answer sent to us."""
    UNSUPPORTED_PROCESSING_CODE = "unsupported_processing_code"
    """A processing code that this port does not serve."""
    MAC_MISMATCH = "mac_mismatch"
    """The message authentication code is wrong or missing."""
    DUPLICATE_CONFLICT = "duplicate_conflict"
    """The key of a request seen before, with other content."""

    # Who asks.
    TERMINAL_UNKNOWN = "terminal_unknown"
    TERMINAL_BLOCKED = "terminal_blocked"
    ACQUIRER_STOPPED = "acquirer_stopped"
    NOT_SIGNED_ON = "not_signed_on"
    OUTSIDE_HOURS = "outside_hours"
    """The network sells at other hours; nothing was taken."""
    NOT_PERMITTED = "not_permitted"
    """The network may not sell this service, or not in this way; nothing was taken."""

    # For what.
    METER_UNKNOWN = "meter_unknown"
    METER_BLOCKED = "meter_blocked"
    WRONG_SERVICE = "wrong_service"
    """The meter measures another service than the request names."""
    KEY_CHANGE_DUE = "key_change_due"
    """The key of the meter must be changed by an engineer first; nothing was taken."""
    UNKNOWN_OBLIGATION = "unknown_obligation"
    NOTHING_OWED = "nothing_owed"
    """A payment to obligations where nothing is owed."""

    # How much.
    AMOUNT_INVALID = "amount_invalid"
    """Zero, or not a whole number of pesos where that is asked."""
    AMOUNT_BELOW_MINIMUM = "amount_below_minimum"
    AMOUNT_ABOVE_MAXIMUM = "amount_above_maximum"
    AMOUNT_TOO_LOW = "amount_too_low"
    """After deductions not a tenth of a unit can be bought."""
    OVERPAID = "overpaid"
    """A payment larger than what is owed."""
    FLOAT_SHORT = "float_short"
    """The network's prepaid float or credit line does not cover the sale."""

    # Reversals.
    ORIGINAL_NOT_FOUND = "original_not_found"
    SALE_STANDS = "sale_stands"
    """A reversal is declined: the token may be in the customer's hands; the answer carries it."""

    # Settlement.
    TOTALS_DIFFER = "totals_differ"
    """The totals that were sent are not those of the books; the answer carries ours."""

    # Ours. A refusal because of us is never a verdict on the request.
    METER_BUSY = "meter_busy"
    """Another sale on this meter has not ended; nothing was taken, try again."""
    TARIFF_MISSING = "tariff_missing"
    """No tariff is published for this meter today; nothing was taken."""
    MODULE_REFUSED = "module_refused"
    """The security module refused the token; the sale was voided."""
    IN_PROGRESS = "in_progress"
    """Not final: the outcome is not known yet. Repeat the same request until another code comes."""
    MODULE_UNAVAILABLE = "module_unavailable"
    """The security module cannot be reached and nothing was taken."""
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    """The database cannot be reached and nothing was taken."""
    OVERLOADED = "overloaded"
    """A limit of this port is reached; nothing was taken, try again."""
    SYSTEM_ERROR = "system_error"
    """A fault of ours; nothing was taken."""

    @property
    def is_approved(self) -> bool:
        """Whether the request was done."""
        return self is ResponseCode.APPROVED

    @property
    def is_retryable(self) -> bool:
        """Whether the same wish may succeed later without anything being changed by the one who asks."""
        return self in _RETRYABLE

    @property
    def is_final(self) -> bool:
        """Whether this ends the request; the only code that does not is ``IN_PROGRESS``."""
        return self is not ResponseCode.IN_PROGRESS


_RETRYABLE = frozenset(
    {
        ResponseCode.NOT_SIGNED_ON,
        ResponseCode.OUTSIDE_HOURS,
        ResponseCode.FLOAT_SHORT,
        ResponseCode.METER_BUSY,
        ResponseCode.IN_PROGRESS,
        ResponseCode.MODULE_UNAVAILABLE,
        ResponseCode.LEDGER_UNAVAILABLE,
        ResponseCode.OVERLOADED,
        ResponseCode.SYSTEM_ERROR,
    }
)


class Refusal(Exception):
    """A request is refused; raised anywhere, turned into the answer's data element 39 in one place.

    Attributes:
        code: what is answered.
        private_detail: for our log only, never sent.
    """

    def __init__(self, code: ResponseCode, private_detail: str = "") -> None:
        super().__init__(code.value, private_detail)
        self.code = code
        self.private_detail = private_detail
