"""The virtual meter: takes tokens as a meter in a house does, and remembers them on disk before it answers.

It proves what the rest only claims: the same token twice is accepted once, and a token of another meter, supply group, key
revision or tariff index does not open.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from meters.state_file import MeterFileError, MeterRecord, locked, read_record, write_record
from meters.texts import sentences
from sts.codes import KEY_NEVER_EXPIRES, BaseDate, EncryptionAlgorithm, KeyType
from sts.decode import CurrencyCredit, UnitCredit
from sts.errors import FieldRangeError
from sts.meter import (
    CREDIT_LIMIT_TENTHS,
    SECTION_RESULTS,
    TID_STORE_SIZE,
    Entered,
    MeterKey,
    MeterResult,
    MeterRules,
    MeterState,
    enter,
    manufacture,
)
from sts.pan import parse_pan
from sts.tables import PRODUCTION, load_tables
from sts.tid import tid_at
from vending.money import Tenths
from vending.secret import Secret

KEY_CHANGE_TIMEOUT_SECONDS = 600
"""How long a key change may rest between two of its sections: time to type twenty digits several times over."""

_TAKEN = frozenset({MeterResult.ACCEPT, *SECTION_RESULTS.values()})


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryResult:
    """What the meter answered to one token.

    Attributes:
        result: the name of the standard is its ``value``, as in "Accept" or "UsedError".
        credit_added_tenths: units that this token added; 0 for everything that is not a credit in units.
        credit_total_tenths: units in the meter's register now.
        currency_added: money added, in hundred-thousandths; 0 for everything that is not a credit in money.
        sentence_es: for the person in front of the meter.
        sentence_en: the same in English.
    """

    result: MeterResult
    credit_added_tenths: Tenths
    credit_total_tenths: Tenths
    currency_added: int
    sentence_es: str
    sentence_en: str

    @property
    def is_accepted(self) -> bool:
        """Whether the meter did what the token says, or keeps it until the other sections of a key change are in."""
        return self.result in _TAKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterBlueprint:
    """What a virtual meter is made from.

    Attributes:
        meter_number: 11 or 13 digits, as printed on it.
        pan: the 18 digits behind it.
        decoder_key: 8 or 16 octets, as the encryption algorithm takes.
        encryption_algorithm: EA.
        service: the credit register it has: 0 electricity, 1 water, 2 gas (`vending.service.Service.value`).
        supply_group_code: of the key register, as the three after it.
        key_revision_number: 1 to 9.
        key_type: unique for a meter in the field.
        tariff_index: 0 to 99.
        base_date: what its identifiers count from.
        made_at: aware time; nothing older than its minute will be taken.
        key_expiry_number: 255 never expires.
        tables: the name of the STA tables, see `sts.tables.load_tables`.
        maker_code: whose class 1 tokens it takes.
        credit_limit_tenths: most that its register holds.
        tid_store_size: identifiers it remembers.
        has_lockout: whether it stops listening after wrong tokens.
    """

    meter_number: str
    pan: str
    decoder_key: Secret[bytes]
    encryption_algorithm: EncryptionAlgorithm
    service: int
    supply_group_code: int
    key_revision_number: int
    key_type: KeyType
    tariff_index: int
    base_date: BaseDate
    made_at: datetime
    key_expiry_number: int = KEY_NEVER_EXPIRES
    tables: str = PRODUCTION
    maker_code: int = 0
    credit_limit_tenths: int = CREDIT_LIMIT_TENTHS
    tid_store_size: int = TID_STORE_SIZE
    has_lockout: bool = False

    def first_state(self) -> MeterState:
        """Return the state of the new meter.

        Raises:
            StsError: number, PAN, key or an attribute is not valid.
        """
        if parse_pan(self.pan).drn != self.meter_number:
            raise FieldRangeError("the PAN belongs to another meter number")
        key_octets = len(self.decoder_key.reveal())
        if key_octets != self.encryption_algorithm.key_octets:
            raise FieldRangeError(
                f"the decoder key has {key_octets} octets, not {self.encryption_algorithm.key_octets}"
            )
        load_tables(self.tables)
        rules = MeterRules(
            encryption_algorithm=self.encryption_algorithm,
            credit_registers=frozenset({self.service}),
            maker_code=self.maker_code,
            credit_limit_tenths=self.credit_limit_tenths,
            tid_store_size=self.tid_store_size,
            key_change_timeout_seconds=KEY_CHANGE_TIMEOUT_SECONDS,
            has_lockout=self.has_lockout,
        )
        key = MeterKey(
            decoder_key=self.decoder_key.reveal(),
            key_type=self.key_type,
            key_revision_number=self.key_revision_number,
            tariff_index=self.tariff_index,
            key_expiry_number=self.key_expiry_number,
            supply_group_code=self.supply_group_code,
        )
        return manufacture(rules, key, tid_at(self.made_at, self.base_date))


class VirtualMeter:
    """One meter and its file. Several processes may use the same file: every token is taken under its lock."""

    def __init__(self, path: Path, record: MeterRecord) -> None:
        self._path = path
        self._record = record

    @classmethod
    def open(cls, path: Path) -> "VirtualMeter":
        """Open the meter in the file *path*.

        Raises:
            MeterFileError: there is none.
        """
        return cls(path, read_record(path))

    @classmethod
    def manufacture(cls, path: Path, blueprint: MeterBlueprint) -> "VirtualMeter":
        """Make a meter and its file *path* (its directory too).

        Raises:
            MeterFileError: a meter lives at *path* already.
            StsError: something in the blueprint is not valid; nothing was written.
        """
        record = MeterRecord(
            meter_number=blueprint.meter_number,
            pan=blueprint.pan,
            tables=blueprint.tables,
            state=blueprint.first_state(),
        )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(path):
            if path.exists():
                raise MeterFileError(f"there is a virtual meter at {path} already")
            write_record(path, record)
        return cls(path, record)

    def enter(self, token: str, *, at: datetime) -> EntryResult:
        """Take a token as it is typed; what came of it is on disk when this returns.

        Args:
            token: 20 digits, or groups of four with a space between. Anything else is a FormatError and changes nothing.
            at: the time on the meter's clock, aware: for lockout and key changes left half done.

        Raises:
            MeterFileError: the file is gone or broken.
            OSError: it could not be put on disk; nobody may be told that the token was taken.
        """
        with locked(self._path):
            record = read_record(self._path)
            before = record.state
            entered = enter(before, token, load_tables(record.tables), int(at.timestamp()))
            if entered.state != before:
                record = replace(record, state=entered.state)
                write_record(self._path, record)
            self._record = record
        return _answer(entered)

    @property
    def meter_number(self) -> str:
        """The number printed on the meter."""
        return self._record.meter_number

    @property
    def pan(self) -> str:
        """The 18 digits behind it."""
        return self._record.pan

    @property
    def state(self) -> MeterState:
        """What the meter remembered when it was opened or last took a token (its ``repr`` shows no key)."""
        return self._record.state

    @property
    def credit_tenths(self) -> Tenths:
        """Units in its register."""
        return _units_in(self._record.state)

    def __repr__(self) -> str:
        return f"VirtualMeter({self.meter_number}, credit_tenths={self.credit_tenths})"


def _units_in(state: MeterState) -> Tenths:
    return Tenths(sum(state.registers[register] for register in state.rules.credit_registers if register < 4))


def _answer(entered: Entered) -> EntryResult:
    is_accepted = entered.result is MeterResult.ACCEPT
    token = entered.token
    added = token.units_tenths if is_accepted and isinstance(token, UnitCredit) else 0
    money = token.hundred_thousandths if is_accepted and isinstance(token, CurrencyCredit) else 0
    spanish, english = sentences(entered)
    return EntryResult(
        result=entered.result,
        credit_added_tenths=Tenths(added),
        credit_total_tenths=_units_in(entered.state),
        currency_added=money,
        sentence_es=spanish,
        sentence_en=english,
    )
