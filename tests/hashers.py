"""The product's way of keeping passwords, with so few rounds that a test does not wait."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickPBKDF2(PBKDF2PasswordHasher):
    """PBKDF2 as in the product, but for its cost."""

    algorithm = "pbkdf2_quick"
    iterations = 10
