"""Signing an answer that moves no money and storing it before it leaves, so that a repeat gets the same octets."""

from messages.iso_message import IsoMessage
from switch.answered import Answered
from switch.seal import Seal
from switch.steps import Books
from vending.order import AnswerRecord, RequestKey
from vending.ports import ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import Refusal, ResponseCode


async def store_answer(
    answer: IsoMessage, code: ResponseCode, key: RequestKey, *, seal: Seal, books: Books
) -> Answered:
    """Sign *answer* for the terminal of *key* and store it; what comes back is ours, or the one that was stored first.

    Raises:
        Refusal: `IN_PROGRESS`; nothing is stored, or it is not known, and the repeat will find out.
    """
    try:
        body = await seal.sign(answer, key.terminal_id)
    except (ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused) as error:
        raise Refusal(ResponseCode.IN_PROGRESS, f"sign {code.value}: {error!r}") from error
    posted = await books.post(AnswerRecord(key=key, code=code, answer=body))
    return Answered(code=posted.code, body=posted.answer)
