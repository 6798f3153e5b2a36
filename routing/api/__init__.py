"""The door for machines: raw ASGI beside Django, answered from memory (product.md section 10)."""
