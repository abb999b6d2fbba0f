"""Untraceable answers: reply blocks, conversations, services, messages between people."""
