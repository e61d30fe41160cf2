"""The inquiry: who is behind a meter, what does he owe, what would a sum buy. It writes nothing."""

from math import inf

from acquirers.balance import TellBalance, without_balance
from acquirers.calls import InquiryCall
from acquirers.dialect import Dialect
from switch.answered import Answered
from switch.seal import Seal
from switch.steps import Books


async def inquire(
    call: InquiryCall,
    *,
    dialect: Dialect,
    seal: Seal,
    books: Books,
    tell_balance: TellBalance = without_balance,
    deadline: float = inf,
) -> Answered:
    """Answer an 0100 whose MAC has been verified; what no batch takes before *deadline* is not looked up."""
    found = await books.inquire(call.inquiry, deadline=deadline)
    answer = tell_balance(dialect.answer_inquiry(call.message, found), found.available_centavos)
    return Answered(code=found.code, body=await seal.sign_if_possible(answer, call.terminal_id))
