"""Answers that were given before, by the digest of all that they were given for.

`memory` keeps them in this process, `shared` in Redis, sealed; `store` asks both and lets equal
questions that come together wait for one answer. What may be kept at all is `core.caching`'s word.
"""
