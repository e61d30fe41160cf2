"""Tokens as a function: the same request under the same key gives the same digits, in this process, the next and any copy."""

import hmac
from collections import OrderedDict
from collections.abc import Mapping

from messages.security_module import DecoderKey, MintRequest, Status, VerifyToken, VerifyTokenReply
from security_module.registers import VendingRegister
from sts.codes import CREDIT_CLASS, EncryptionAlgorithm
from sts.decode import UnitCredit, decode
from sts.decoder_key import DecoderKeyInputs, derive_decoder_key
from sts.errors import FieldRangeError, StsError, UnsupportedError
from sts.mint import credit_token
from sts.pan import is_luhn_valid, parse_pan
from sts.tables import StaTables
from vending.money import Tenths
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
        self._keys_max = keys_max
        self._keys: OrderedDict[_KeyName, Secret[bytes]] = OrderedDict()

    def tokens(self, request: MintRequest) -> list[Secret[str]]:
        """Compute the tokens of *request*, 20 digits each.

        Raises:
            MintRefused: unknown register, wrong PAN, or an algorithm that the register's key cannot serve.
        """
        key = self._key(request.register_id, request.pan, request.tariff_index, request.encryption_algorithm).reveal()
        secret = self._registers[request.register_id].selection_secret.reveal()
        algorithm = EncryptionAlgorithm(request.encryption_algorithm)
        made = []
        for index, (tid, units_tenths) in enumerate(request.tokens):
            nibble = hmac.digest(secret, request.request_id.to_bytes(8, "big") + bytes((index,)), "sha256")[-1] & 0xF
            made.append(Secret(credit_token(key, algorithm, self._tables, request.subclass, nibble, tid, units_tenths)))
        return made

    def verify(self, request: VerifyToken) -> VerifyTokenReply:
        """Read a credit token as its meter would.

        Raises:
            MintRefused: as `tokens`, or `Status.TOKEN_INVALID`.
        """
        key = self._key(request.register_id, request.pan, request.tariff_index, request.encryption_algorithm)
        algorithm = EncryptionAlgorithm(request.encryption_algorithm)
        try:
            found = decode(request.token.reveal(), key.reveal(), algorithm, self._tables)
        except StsError as error:
            raise MintRefused(Status.TOKEN_INVALID) from error
        if not isinstance(found, UnitCredit):
            raise MintRefused(Status.TOKEN_INVALID)
        return VerifyTokenReply(
            token_class=CREDIT_CLASS, subclass=found.subclass, tid=found.tid, units_tenths=Tenths(found.units_tenths)
        )

    def decoder_key(self, request: DecoderKey) -> Secret[bytes]:
        """Return the decoder key of a meter under a test register.

        Raises:
            MintRefused: as `tokens`; `Status.REGISTER_CONTRADICTION` for a register that is not for tests.
        """
        register = self._registers.get(request.register_id)
        if register is not None and not register.is_test:
            raise MintRefused(Status.REGISTER_CONTRADICTION)
        return self._key(request.register_id, request.pan, request.tariff_index, request.encryption_algorithm)

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
        return Secret(derive_decoder_key(inputs, register.key.reveal()))
