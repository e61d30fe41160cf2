"""``LW`` / ``LX`` on the wire: the list of tokens that are no credit. See `messages.security_module_work_shapes`."""

import struct
from datetime import date

from messages.security_module_frame import MINTS_PER_REPLY_MAX, require
from messages.security_module_work_shapes import ListWork, ListWorkReply, WorkRecord

_LIST = struct.Struct(">HBBQ")
_COUNT = struct.Struct(">H")
_RECORD = struct.Struct(">QQHHBBQB")


def encode_list_work(request: ListWork) -> bytes:
    """Write the fields of the question."""
    day = request.day
    return _LIST.pack(day.year, day.month, day.day, request.after_sequence)


def decode_list_work(fields: bytes) -> ListWork:
    """Read them; ValueError or `struct.error` if they are none."""
    year, month, day, after_sequence = _LIST.unpack(fields)
    return ListWork(day=date(year, month, day), after_sequence=after_sequence)


def encode_list_work_reply(reply: ListWorkReply) -> bytes:
    """Write the fields of the answer."""
    rows = [
        _RECORD.pack(
            each.sequence,
            each.request_id,
            each.register_id,
            each.from_register_id,
            each.token_class,
            each.subclass,
            each.value,
            each.approvals,
        )
        for each in reply.work
    ]
    return _COUNT.pack(len(rows)) + b"".join(rows)


def decode_list_work_reply(fields: bytes) -> ListWorkReply:
    """Read them; ValueError or `struct.error` if they are none."""
    (count,) = _COUNT.unpack_from(fields)
    require(count <= MINTS_PER_REPLY_MAX and len(fields) == _COUNT.size + count * _RECORD.size, "length")
    rows = _RECORD.iter_unpack(fields[_COUNT.size :])
    return ListWorkReply(
        work=tuple(
            [
                WorkRecord(
                    sequence=sequence,
                    request_id=request_id,
                    register_id=register_id,
                    from_register_id=from_register_id,
                    token_class=token_class,
                    subclass=subclass,
                    value=value,
                    approvals=approvals,
                )
                for sequence, request_id, register_id, from_register_id, token_class, subclass, value, approvals in rows
            ]
        )
    )
