"""Tokens as a function: the same request under the same key gives the same digits, in this process, the next and any copy."""

import hmac
from collections import OrderedDict
from collections.abc import Mapping

from messages.security_module import DecoderKey, MintRequest, Status, VerifyToken, VerifyTokenReply
from security_module.keyed_hash import KeyedHash
from security_module.registers import VendingRegister
from sts.amount import encode_units
from sts.codes import CREDIT_CLASS, MANAGEMENT_CLASS, TEST_CLASS, EncryptionAlgorithm
from sts.decode import CurrencyCredit, DecodedToken, Management, MeterTest, UnitCredit, decode
from sts.decoder_key import DecoderKeyInputs, DecoderKeys
from sts.errors import FieldRangeError, StsError, UnsupportedError
from sts.key_change import SUBCLASS_BY_SECTION, NewKey, key_change_tokens
from sts.mint import WATT_SUBCLASSES, credit_token, management_token, meter_test_token
from sts.pan import is_luhn_valid, parse_pan
from sts.tables import StaTables
from sts.words import words_of
from vending.engineering import EngineeringRequest, KeyChangeRequest
from vending.secret import Secret

DECODER_KEYS_MAX = 50_000
"""Decoder keys kept ready, some 300 octets each: the meters of a town that buy in a day."""

_KeyName = tuple[int, str, int, int]


class MintRefused(Exception):
    """The request cannot be computed under its register; ``status`` is what is answered."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status


class Mint:
    """Computes tokens and reads them back. Keeps no record: see `security_module.mint_log`."""

    def __init__(
        self, registers: Mapping[int, VendingRegister], tables: StaTables, keys_max: int = DECODER_KEYS_MAX
    ) -> None:
        self._registers = registers
        self._tables = tables
        # As many as a register has tariff indexes and algorithms: each was asked for under a register that allows it.
        self._derivations: dict[tuple[int, int, int], DecoderKeys] = {}
        self._selections = {number: KeyedHash(each.selection_secret) for number, each in registers.items()}
        self._keys_max = keys_max
        self._keys: OrderedDict[_KeyName, Secret[bytes]] = OrderedDict()

    def all_of(self, request: MintRequest | EngineeringRequest | KeyChangeRequest) -> list[Secret[str]]:
        """Compute every token of *request*, in order; `MintRefused` as the three below."""
        if isinstance(request, MintRequest):
            return self.tokens(request)
        return self.engineering(request) if isinstance(request, EngineeringRequest) else self.key_change(request)

    def tokens(self, request: MintRequest) -> list[Secret[str]]:
        """Compute the tokens of *request*, 20 digits each.

        Raises:
            MintRefused: unknown register, wrong PAN, or an algorithm that the register's key cannot serve.
        """
        key = self._key(request.register_id, request.pan, request.tariff_index, request.encryption_algorithm).reveal()
        algorithm = EncryptionAlgorithm(request.encryption_algorithm)
        made = []
        for index, (tid, units_tenths) in enumerate(request.tokens):
            nibble = self._nibble(request, index)
            made.append(Secret(credit_token(key, algorithm, self._tables, request.subclass, nibble, tid, units_tenths)))
        return made

    def engineering(self, request: EngineeringRequest) -> list[Secret[str]]:
        """Compute the one token of *request*.

        Raises:
            MintRefused: as `tokens`.
        """
        kind = request.kind
        key = self._key(request.register_id, request.pan, request.tariff_index, request.encryption_algorithm).reveal()
        if kind.is_test:
            return [Secret(meter_test_token(kind.subclass, request.value, request.maker_code))]
        nibble = self._nibble(request, 0)
        algorithm = EncryptionAlgorithm(request.encryption_algorithm)
        value = encode_units(request.value) if kind.subclass in WATT_SUBCLASSES else request.value
        return [Secret(management_token(key, algorithm, self._tables, kind.subclass, nibble, request.tid, value))]

    def key_change(self, request: KeyChangeRequest) -> list[Secret[str]]:
        """Compute the tokens of a key change, in the order of entry. They have no random part: they are a function of the two keys.

        Raises:
            MintRefused: as `tokens`, for either key; `Status.KEY_CHANGE_FORBIDDEN` where both keys are the same.
        """
        pan, ea = request.pan, request.encryption_algorithm
        old = self._key(request.from_register_id, pan, request.from_tariff_index, ea).reveal()
        key = self._key(request.to_register_id, pan, request.to_tariff_index, ea).reveal()
        if hmac.compare_digest(old, key):
            raise MintRefused(Status.KEY_CHANGE_FORBIDDEN)
        register = self._registers[request.to_register_id]
        new = NewKey(
            decoder_key=key,
            supply_group_code=register.supply_group_code,
            key_revision_number=register.key_revision_number,
            key_type=register.key_type,
            tariff_index=request.to_tariff_index,
            key_expiry_number=register.key_expiry_number,
            is_rollover=register.base_date is not self._registers[request.from_register_id].base_date,
        )
        try:
            is_triplet = request.sections == 3
            made = key_change_tokens(old, EncryptionAlgorithm(ea), self._tables, new, is_triplet=is_triplet)
        except UnsupportedError as error:
            raise MintRefused(Status.REGISTER_CONTRADICTION) from error
        if len(made) != request.sections:
            raise MintRefused(Status.REGISTER_CONTRADICTION)
        return [Secret(token) for token in made]

    def verify(self, request: VerifyToken) -> VerifyTokenReply:
        """Read a token of any class as its meter would.

        Raises:
            MintRefused: as `tokens`, or `Status.TOKEN_INVALID`.
        """
        key = self._key(request.register_id, request.pan, request.tariff_index, request.encryption_algorithm)
        algorithm = EncryptionAlgorithm(request.encryption_algorithm)
        try:
            found = decode(request.token.reveal(), key.reveal(), algorithm, self._tables)
        except StsError as error:
            raise MintRefused(Status.TOKEN_INVALID) from error
        return _said(found)

    def decoder_key(self, request: DecoderKey) -> Secret[bytes]:
        """Return the decoder key of a meter under a test register.

        Raises:
            MintRefused: as `tokens`; `Status.REGISTER_CONTRADICTION` for a register that is not for tests.
        """
        register = self._registers.get(request.register_id)
        if register is not None and not register.is_test:
            raise MintRefused(Status.REGISTER_CONTRADICTION)
        return self._key(request.register_id, request.pan, request.tariff_index, request.encryption_algorithm)

    def _nibble(self, request: MintRequest | EngineeringRequest, index: int) -> int:
        """Return the RND nibble of the token at *index*: a function of the request, that nobody else can compute."""
        selection = self._selections[request.register_id]
        return selection.digest(request.request_id.to_bytes(8, "big") + bytes((index,)))[-1] & 0xF

    def _key(self, register_id: int, pan: str, tariff_index: int, algorithm: int) -> Secret[bytes]:
        name = (register_id, pan, tariff_index, algorithm)
        key = self._keys.get(name)
        if key is not None:
            self._keys.move_to_end(name)
            return key
        key = self._derive(register_id, pan, tariff_index, algorithm)
        self._keys[name] = key
        if len(self._keys) > self._keys_max:
            self._keys.popitem(last=False)
        return key

    def _derive(self, register_id: int, pan: str, tariff_index: int, algorithm: int) -> Secret[bytes]:
        register = self._registers.get(register_id)
        if register is None:
            raise MintRefused(Status.UNKNOWN_REGISTER)
        try:
            # The meters of the published compliance vectors have no valid number of their own; test keys serve them too. Their
            # PANs still end in the right digit, and a slip of the caller must not become the token of another meter.
            parse_pan(pan, is_compliance_test=register.is_test)
            if register.is_test and not is_luhn_valid(pan):
                raise FieldRangeError("the check digit of the PAN is wrong")
        except FieldRangeError as error:
            raise MintRefused(Status.PAN_INVALID) from error
        name = (register_id, tariff_index, algorithm)
        keys = self._derivations.get(name)
        if keys is None:
            keys = self._derivations[name] = _derivation(register, pan, tariff_index, algorithm)
        return Secret(keys.of(pan))


def _derivation(register: VendingRegister, pan: str, tariff_index: int, algorithm: int) -> DecoderKeys:
    """Set up the decoder keys of the meters of a register; `MintRefused` where it cannot serve *algorithm*."""
    try:
        inputs = DecoderKeyInputs(
            key_algorithm=register.key_algorithm,
            pan=pan,
            supply_group_code=register.supply_group_code,
            tariff_index=tariff_index,
            key_revision_number=register.key_revision_number,
            key_type=register.key_type,
            base_date=register.base_date,
            encryption_algorithm=EncryptionAlgorithm(algorithm),
        )
    except (ValueError, UnsupportedError) as error:
        raise MintRefused(Status.REGISTER_CONTRADICTION) from error
    return DecoderKeys(inputs, register.key.reveal())


def _said(token: DecodedToken) -> VerifyTokenReply:
    """Return what a token says; of a key-change token which section it is, and no piece of the key."""
    words = words_of(token)[1]
    match token:
        case UnitCredit(subclass=subclass, tid=tid, units_tenths=amount):
            return VerifyTokenReply(token_class=CREDIT_CLASS, subclass=subclass, tid=tid, amount=amount, words=words)
        case CurrencyCredit(subclass=subclass, tid=tid, hundred_thousandths=amount):
            return VerifyTokenReply(token_class=CREDIT_CLASS, subclass=subclass, tid=tid, amount=amount, words=words)
        case MeterTest(subclass=subclass, control=control):
            return VerifyTokenReply(token_class=TEST_CLASS, subclass=subclass, tid=None, amount=control, words=words)
        case Management(subclass=subclass, tid=tid, value=value):
            amount = value if token.watts is None else token.watts
            return VerifyTokenReply(
                token_class=MANAGEMENT_CLASS, subclass=subclass, tid=tid, amount=amount, words=words
            )
        case _:
            section = SUBCLASS_BY_SECTION[token.section]
            return VerifyTokenReply(
                token_class=MANAGEMENT_CLASS, subclass=section, tid=None, amount=token.section, words=words
            )
