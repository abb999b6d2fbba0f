"""The commands of this floor: address, send, inbox, reply, doctor, echo."""

from replyblocks.commands.doctor import doctor
from replyblocks.commands.echo import echo
from replyblocks.commands.mail import address, inbox, reply, send

__all__ = ["address", "doctor", "echo", "inbox", "reply", "send"]
