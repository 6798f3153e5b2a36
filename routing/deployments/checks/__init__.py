"""The checks of a deployment: each asks the serving process and says what it expected.

None of them says that it proved something: they name the records that the other side must hold,
and `runner` looks for them.
"""
