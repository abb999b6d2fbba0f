"""What customers submit in tests: claims, answers, certificates and accusations that are true."""

from bank.board.accusation.books import CertifiedTwice
from bank.board.accusation.evidence import ConfirmedLog, SignedLog
from bank.board.accusation.file import encode_accusation
from bank.board.accusation.log import BoardEquivocation, Difference, TwoViews
from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.note import VerifierKey
from bank.formats.account import NO_HEAD, AccountRequest, Operation, sign_request
from bank.formats.answer import Body, CertifiedBefore, Refusal, Refused, sign_answer
from bank.formats.claim import Claim, ShownCertificate
from bank.formats.coin import CoinId, CoinKey, bank_id, coin_id, sign_certificate
from bank.formats.entry import AccusationEntry, AnswerEntry, PostedEntry
from bank.formats.order import NOTHING, Order, Output, SignedOrder, sign_order
from bank.formats.request import Deposit, Withdraw
from bank.formats.statement import Tally, sign_statement
from mixmint.keys import SigningKey

BANK = SigningKey(b"b" * 32)
"""The bank of the boards in ../conftest.py, and its board."""
BOARD = SigningKey(b"k" * 32)
BANK_ID = bank_id(BANK.public)
EPOCH = 7


def key(number: int) -> SigningKey:
    """Coin or account ``number``."""
    return SigningKey(number.to_bytes(32))


def certificate(number: int, exponent: int = 3, bank: SigningKey = BANK) -> ShownCertificate:
    coin = coin_id(key(number).public)
    return ShownCertificate(
        exponent, EPOCH, sign_certificate(bank, bank_id(bank.public), exponent, EPOCH, coin)
    )


def order(*coins: int, request: int = 0, account: bytes = NOTHING, bank: bytes = BANK_ID) -> SignedOrder:
    """An order that spends these coins; ``request`` tells several of them apart."""
    outputs = () if account != NOTHING else (Output(CoinId(request.to_bytes(32)), 3),)
    keys = [key(number) for number in coins]
    inputs = tuple(sorted(CoinKey(each.public) for each in keys))
    asked = Order(bank, request.to_bytes(16), 100, inputs, outputs, account)
    return sign_order(asked, keys, bytes(16))


def certificates_for(signed: SignedOrder, coins: tuple[int, ...]) -> tuple[ShownCertificate, ...]:
    by_key = {key(number).public: certificate(number) for number in coins}
    return tuple(by_key[each] for each in signed.order.inputs)


def claim(*coins: int, request: int = 0) -> Claim:
    """Of an order between coins."""
    signed = order(*coins, request=request)
    return Claim(signed, certificates_for(signed, coins))


def withdrawal(account: int, request: int = 0, bank: bytes = BANK_ID) -> Claim:
    """Of an account's withdrawal."""
    asked = AccountRequest(
        bank,
        key(account).public,
        2,
        NO_HEAD,
        Operation.WITHDRAW,
        request.to_bytes(16),
        100,
        outputs=(Output(CoinId(request.to_bytes(32)), 3),),
    )
    return Claim(Withdraw(sign_request(key(account), asked)))


def deposit(account: int, *coins: int, request: int = 0) -> Claim:
    """Of a deposit of coins."""
    signed = order(*coins, request=request, account=key(account).public)
    asked = AccountRequest(
        BANK_ID,
        key(account).public,
        2,
        NO_HEAD,
        Operation.DEPOSIT,
        request.to_bytes(16),
        100,
        seal=signed.seal,
    )
    return Claim(Deposit(sign_request(key(account), asked), signed), certificates_for(signed, coins))


def entry(of: Claim) -> bytes:
    return of.entry().encode()


def answer(subject: bytes, index: int = 0, body: Body | None = None, bank: SigningKey = BANK) -> bytes:
    """An answer's entry; ``index`` tells several to one subject apart."""
    said = body or Refused(Refusal.SUMS, index)
    return AnswerEntry(sign_answer(bank, bank_id(bank.public), subject, said)).encode()


def posted(number: int, exponent: int = 3, bank: SigningKey = BANK) -> bytes:
    shown = certificate(number, exponent, bank)
    return PostedEntry(coin_id(key(number).public), exponent, EPOCH, shown.signature).encode()


def double_certificate(number: int, exponent: int = 4, bank: SigningKey = BANK) -> bytes:
    """An accusation of a bank that certified a coin with 8 units and with others."""
    coin = coin_id(key(number).public)
    one, other = certificate(number, 3, bank), certificate(number, exponent, bank)
    evidence = CertifiedTwice(
        bank.public,
        CertifiedBefore(coin, 3, EPOCH, one.signature),
        CertifiedBefore(coin, exponent, EPOCH, other.signature),
    )
    return AccusationEntry(encode_accusation(evidence)).encode()


def two_logs(size: int, board: SigningKey = BOARD, roots: tuple[int, int] = (1, 2)) -> bytes:
    """An accusation of a board that signed two logs of one size."""
    name = VerifierKey("board.test", board.public)
    notes = [sign_checkpoint(board, Checkpoint(name.name, size, bytes([n]) * 32)) for n in roots]
    one, other = [SignedLog.of(note, name) for note in notes]
    evidence = BoardEquivocation(one, other, Difference(other.root, ()))
    return AccusationEntry(encode_accusation(evidence)).encode()


def two_views(board: SigningKey = BOARD, bank: SigningKey = BANK) -> bytes:
    """An accusation of a board or a bank: the bank confirmed another log than the board signed."""
    name = VerifierKey("board.test", board.public)
    signed = SignedLog.of(sign_checkpoint(board, Checkpoint(name.name, 5, b"\1" * 32)), name)
    statement = sign_statement(bank, bank_id(bank.public), 1, 5, b"\2" * 32, Tally(), ())
    evidence = TwoViews(signed, ConfirmedLog(bank.public, statement), Difference(signed.root, ()))
    return AccusationEntry(encode_accusation(evidence)).encode()
