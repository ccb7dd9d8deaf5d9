"""Models of sentencepiece for tests, in protobuf's wire format."""

import struct

from lowbit.files.sentencepiece_model import PieceType

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field, value):
    return varint(field << 3 | VARINT) + varint(value)


def block(field, data):
    return varint(field << 3 | BYTES) + varint(len(data)) + data


def piece(text, score=0.0, kind=PieceType.NORMAL):
    score = varint(2 << 3 | FOUR_BYTES) + struct.pack("<f", score)
    text = text if isinstance(text, bytes) else text.encode()
    return block(1, block(1, text) + score + number(3, kind))
