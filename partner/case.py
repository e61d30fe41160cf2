"""What a certification case is: data. What is sent, what must come back, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from vending.response_code import ResponseCode


@dataclass(frozen=True, slots=True)
class Words:
    """A text in both languages."""

    es: str
    en: str

    def of(self, language: str) -> str:
        """Return it in a language, ``es`` or ``en``."""
        return self.en if language == "en" else self.es


class Wish(Enum):
    """What a message asks for, as a terminal names it."""

    SIGN_ON = "sign-on"
    SIGN_OFF = "sign-off"
    ECHO = "echo"
    UNKNOWN_NETWORK_CODE = "network management with a code that nobody serves"
    INQUIRY = "inquiry"
    RECHARGE = "recharge"
    PAYMENT = "payment"
    REVERSAL = "reversal"
    ADVICE = "delivery advice"
    LAST_ANSWER = "last answer"
    TOTALS = "totals of the terminal"
    NETWORK_TOTALS = "totals of the network"
    CUT_OVER = "cut-over"
    BATCH = "batch upload of two payments"


class Meter(Enum):
    """Which meter; what a name promises is in `partner.setting.Setting`."""

    GOOD = "sells"
    UNKNOWN = "unknown"
    BLOCKED = "blocked"
    OWING = "owes"
    CLEAR = "owes nothing"


class Amount(Enum):
    """How much."""

    NONE = "none"
    USUAL = "usual"
    OTHER = "usual and a hundred pesos"
    ZERO = "zero"
    BELOW = "below the least"
    ABOVE = "above the greatest"
    BEYOND_FLOAT = "more than the float covers"
    SMALL = "a little of what is owed"
    BEYOND_DEBT = "more than is owed"


class Terminal(Enum):
    """Who asks."""

    ORDINARY = "ordinary"
    BLOCKED = "blocked"
    UNKNOWN = "not registered"
    SPEAKER = "speaks for the network"


class Mac(Enum):
    """What stands where the MAC belongs."""

    RIGHT = "right"
    WRONG = "wrong"
    ABSENT = "absent"


class Again(Enum):
    """In which form a request that was sent before is sent again."""

    COPY = "octet for octet"
    REPEAT = "as a repeat, its MTI ending in 1"


class Sums(Enum):
    """Which totals a 0500 or 0520 carries."""

    RIGHT = "what was sold"
    WRONG = "one sale too many"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gets:
    """What must come back.

    Attributes:
        code: response code.
        has: data elements, by their number in 1987, that must be there.
        has_mac: True: a right MAC; False: none; None: none or a right one.
        same_as: name of an earlier request whose answer must be the same octets.
        pins_of: name of an earlier request that was answered with the same PINs.
        has_pins: whether there are PINs of 20 digits; None: not looked at.
    """

    code: ResponseCode
    has: tuple[int, ...] = ()
    has_mac: bool | None = True
    same_as: str = ""
    pins_of: str = ""
    has_pins: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A message, and what it gets.

    Attributes:
        wish: what it asks for.
        gets: what must come back.
        name: by which later steps mean it.
        of: name of the request that it is about, or that it sends again.
        again: it is that request again.
        is_sent: False: it is made and remembered and does not leave.
        sets: data elements changed before it is said in the network's words, by their number in 1987.
        lacks: data elements left out, by their number in 1987.
        mti: another MTI, as in 1987.
        cut: so many octets of the message are cut off its end; the frame is whole.
        in_pieces: it is sent octet by octet.
        is_half_closed: our half of the connection ends behind it.
    """

    wish: Wish
    gets: Gets
    name: str = ""
    of: str = ""
    again: Again | None = None
    is_sent: bool = True
    meter: Meter = Meter.GOOD
    amount: Amount = Amount.NONE
    terminal: Terminal = Terminal.ORDINARY
    mac: Mac = Mac.RIGHT
    sums: Sums = Sums.RIGHT
    sets: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    lacks: tuple[int, ...] = ()
    mti: str = ""
    cut: int = 0
    in_pieces: bool = False
    is_half_closed: bool = False


class Reaction(Enum):
    """What octets that are no message must lead to."""

    CLOSED = "the link is closed without an answer"
    KEEP_ALIVE = "a frame of length zero"


class Hostile(Enum):
    """Octets that are no message."""

    KEEP_ALIVE = "a frame of length zero"
    HTTP = "an HTTP request"
    TLS = "a TLS hello"
    TOO_LONG = "a length above the limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Throw:
    """Octets that are no message, and what they lead to."""

    octets: Hostile
    gets: Reaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Several messages in one write; their answers may come in any order."""

    asks: tuple[Ask, ...]


Step = Ask | Throw | Together


class Need(Enum):
    """What a case cannot do without; where it is missing the case is skipped, and says so."""

    BLOCKED_METER = Words("un medidor bloqueado", "a blocked meter")
    OWING_METER = Words("un medidor que debe", "a meter that owes")
    CLEAR_METER = Words("un medidor que no debe", "a meter that owes nothing")
    BLOCKED_TERMINAL = Words("un terminal bloqueado", "a blocked terminal")
    UNKNOWN_TERMINAL = Words("la llave de un terminal no registrado", "the key of a terminal that is not registered")
    SPEAKER = Words("network_terminals en la configuración", "network_terminals in the configuration")
    SMALL_FLOAT = Words("un cupo menor que la venta máxima", "a float below the greatest sale")
    PAYMENTS = Words("que la red tome pagos", "that the network takes payments")
    RECHARGES = Words("que la red venda recargas", "that the network sells recharges")
    SIGN_ON = Words("is_sign_on_required en la configuración", "is_sign_on_required in the configuration")
    NO_SIGN_ON = Words("una red sin firma obligatoria", "a network without a required sign-on")
    STANDS = Words('reversal_policy = "stands"', 'reversal_policy = "stands"')
    PARKED = Words('reversal_policy = "parked"', 'reversal_policy = "parked"')
    SEVERAL_SERVICES = Words("que la red venda otro servicio", "that the network sells another service")
    ONE_SERVICE = Words("un servicio que la red no venda", "a service that the network does not sell")
    BATCHES = Words("un dialecto con lotes", "a dialect with batches")
    NO_BATCHES = Words("un dialecto sin lotes", "a dialect without batches")
    TPDU = Words("tramas con TPDU", "frames with a TPDU")
    PLAIN = Words("un puerto sin TLS", "a port without TLS")
    CUT_OVER = Words("la opción --cut-over", "the option --cut-over")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case.

    Attributes:
        id: stands in reports; never given to another case.
        title: what is tried.
        why: what goes wrong in the shops where it fails.
        steps: in order, on one link of its own.
        needs: what it cannot do without.
    """

    id: str
    title: Words
    why: Words
    steps: tuple[Step, ...]
    needs: tuple[Need, ...] = ()
