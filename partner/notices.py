"""A network's host as it takes notices: what the switch tells it of its own accord is checked, taken, put off or lost, and remembered. Pure."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from acquirers.action_codes import action_code
from acquirers.registry import SPELLINGS
from messages.iso_message import DecodeError, IsoMessage
from messages.mac import MAC_FIELDS, MacAbsent, split_mac
from messages.tpdu import TpduError, turn_tpdu
from partner.network import Partner
from pos.mac import Signer
from pos.requests import seal_said
from vending.ports import MacMismatch
from vending.response_code import ResponseCode

_ADVICES: Final = frozenset({"22", "42", "52"})
"""Second and third MTI digit of what a network is told; its own terminals are asked nothing of the kind."""

_ECHOED: Final = (7, 11, 12, 24, 41)

_ANSWERS: Final = {
    "accepted": ResponseCode.APPROVED,
    "known": ResponseCode.DUPLICATE_CONFLICT,
    "put_off": ResponseCode.SYSTEM_ERROR,
    "wrong_mac": ResponseCode.MAC_MISMATCH,
}
"""What is said of each outcome; of one that is ``lost`` nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeReply:
    """What the host says to a notice, a frame without its length; None: its answer is lost."""

    frame: bytes | None = field(repr=False)


class NoticeTaker:
    """Takes the notices of one network.

    Args:
        partner: the network.
        signer_of: the key of a terminal; None: there is none.
        counts: gets one for each copy, by MTI and outcome: ``accepted``, ``known`` (taken before), ``put_off``, ``lost``, ``wrong_mac``.
        fault: is told what the switch did wrong, by name and in words.
        errors: share of notices that are put off.
        drop: share of notices that are taken and whose answer is lost.
        chance: of both.
    """

    def __init__(
        self,
        partner: Partner,
        signer_of: Callable[[str], Signer | None],
        *,
        counts: Counter[tuple[str, str]],
        fault: Callable[[str, str], None],
        errors: float = 0.0,
        drop: float = 0.0,
        chance: random.Random | None = None,
    ) -> None:
        self._partner = partner
        self._signer_of = signer_of
        self._counts = counts
        self._fault = fault
        self._errors = errors
        self._drop = drop
        self._chance = chance
        self._seen: dict[tuple[str, str], dict[int, str]] = {}
        self._taken: set[tuple[str, str]] = set()

    def take(self, frame: bytes) -> NoticeReply | None:
        """Answer a frame that is a notice; None: it is none."""
        wire = self._partner.wire
        try:
            tpdu, body = turn_tpdu(frame) if wire.has_tpdu else (b"", frame)
            message = wire.codec.decode(body)
        except (TpduError, DecodeError):
            return None
        if message.mti[1:3] not in _ADVICES:
            return None
        terminal_id = (message.get(41) or "").rstrip()
        where = f"{message.mti} {terminal_id} {message.get(11)}"
        signer = self._signer_of(terminal_id)
        if signer is None:
            self._fault("notice_key", f"{where}: a notice for a terminal whose key is not here")
            return NoticeReply(frame=None)
        outcome = self._outcome(message, where) if self._is_right(message, body, signer) else "wrong_mac"
        if outcome == "wrong_mac":
            self._fault("notice_mac", f"{where}: a notice whose MAC is wrong")
        self._counts[message.mti, outcome] += 1
        if outcome not in _ANSWERS:
            return NoticeReply(frame=None)
        return NoticeReply(frame=tpdu + self._answer(message, _ANSWERS[outcome], signer))

    def _is_right(self, message: IsoMessage, body: bytes, signer: Signer) -> bool:
        try:
            sealed = split_mac(message, body, self._partner.wire.mac_form)
            signer.verify(sealed.covered, sealed.mac)
        except (MacAbsent, MacMismatch):
            return False
        return True

    def _outcome(self, message: IsoMessage, where: str) -> str:
        """Judge one copy by those that came before it, and say what becomes of it."""
        key = message.get(7) or "", message.get(11) or ""
        content = {number: text for number, text in message.fields.items() if number not in MAC_FIELDS}
        before = self._seen.setdefault(key, content)
        if before is not content:
            if not message.is_repeat:
                self._fault("notice_twice", f"{where}: a second first copy")
            if before != content:
                self._fault("notice_changed", f"{where}: a repeat that says something else")
        if key in self._taken:
            return "known"
        if self._happens(self._errors):
            return "put_off"
        self._taken.add(key)
        return "lost" if self._happens(self._drop) else "accepted"

    def _happens(self, share: float) -> bool:
        return self._chance is not None and self._chance.random() < share

    def _answer(self, message: IsoMessage, code: ResponseCode, signer: Signer) -> bytes:
        dialect = self._partner.dialect
        text = action_code(message.message_class, code) if dialect == "loteria" else SPELLINGS[dialect][code]
        fields = {number: value for number, value in message.fields.items() if number in _ECHOED}
        said = IsoMessage(mti=message.answer_mti, fields={**fields, 39: text})
        return seal_said(said, signer, self._partner.wire)
