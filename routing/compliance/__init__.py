"""Compliance: personal data in a request (`pii`), where a path runs (`residency`), the gate."""
