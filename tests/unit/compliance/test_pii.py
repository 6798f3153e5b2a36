"""What the detector finds, what it leaves alone, and that a mask leaks nothing."""

from __future__ import annotations

import random
import re
import string
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stdnum import iban, luhn

from routing.compliance import pii
from routing.compliance.pii import Finding, Masked, PiiClass
from tests.unit.compliance import people

BOUNDED = settings(max_examples=200, deadline=None)
# Eight times the text: a linear scan costs about 8 times as much, a quadratic one 64 times.
QUADRATIC = 30
GLUE = st.sampled_from(["", " ", "-", ".", ",", "+", "0", "a", "@", "/", "\n", "€", "\u200b"])


def kinds(text: str) -> list[PiiClass]:
    return [finding.kind for finding in pii.scan(text)]


@BOUNDED
@given(before=people.prose, number=people.ibans(), after=people.prose)
def test_finds_every_valid_iban_whole(before: str, number: str, after: str) -> None:
    text = f"{before} {number}|{after}"
    start = len(before) + 1
    assert Finding(kind=PiiClass.IBAN, start=start, end=start + len(number)) in pii.scan(text)


@BOUNDED
@given(before=people.prose, number=people.cards(), after=people.prose)
def test_finds_every_valid_card_whole(before: str, number: str, after: str) -> None:
    text = f"{before} {number}|{after}"
    start = len(before) + 1
    assert Finding(kind=PiiClass.CARD, start=start, end=start + len(number)) in pii.scan(text)


@BOUNDED
@given(before=people.prose, address=people.emails(), after=people.prose)
def test_finds_every_email_whole(before: str, address: str, after: str) -> None:
    text = f"{before} {address} {after}"
    start = len(before) + 1
    found = pii.scan(text)
    assert Finding(kind=PiiClass.EMAIL, start=start, end=start + len(address)) in found


@BOUNDED
@given(before=people.prose, number=people.phones(), after=people.prose)
def test_leaves_no_digits_of_a_telephone_number(before: str, number: str, after: str) -> None:
    masked = pii.mask(f"{before} {number} {after}")
    assert masked.classes == (PiiClass.PHONE,)
    assert not any(char in string.digits for char in masked.text)


@BOUNDED
@given(number=people.tax_ids())
def test_finds_every_german_tax_number(number: str) -> None:
    assert pii.mask(f"Steuer-ID: {number}.").text == "Steuer-ID: [national_id]."


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("RCCMNL83S18D969H", "[national_id]"),
        ("NIE X-2482300-W", "NIE [national_id]"),
        ("X2482300W", "[national_id]"),
        ("2 95 10 99 126 111 93", "[national_id]"),
        ("85.07.30-033.28", "[national_id]"),
        ("131052-308T", "[national_id]"),
        ("BSN 111222333", "BSN [national_id]"),
        ("BSN: 111 111 222 333", "BSN: 111 [national_id]"),
        ("[BSN] 111222333", "[BSN] [national_id]"),
        ("PESEL 44051401359", "PESEL [national_id]"),
        ("DNI 54362315K", "DNI [national_id]"),
        ("AHV 756.9217.0769.85", "AHV [national_id]"),
        ("personnummer 880320-0016", "personnummer [national_id]"),
        ("Fødselsnr. 151086 95088", "Fødselsnr. [national_id]"),
        ("CPR-nr. 211062-5629", "CPR-nr. [national_id]"),
        ("NHS number 943 476 5870", "NHS number [national_id]"),
        (
            "his social security number is 536-90-4399.",
            "his social security number is [national_id].",
        ),
        ("PPS 6433435F", "PPS [national_id]"),
        ("rodné číslo 710319/2745", "rodné číslo [national_id]"),
        ("CNP: 1630615123457", "CNP: [national_id]"),
        ("OIB 33392005961", "OIB [national_id]"),
    ],
)
def test_finds_national_identity_numbers(text: str, masked: str) -> None:
    assert pii.mask(text).text == masked


@pytest.mark.parametrize(
    "text",
    [
        "111222333",
        "invoice 111222333",
        "54362315K",
        "44051401359",
        "order 251123-0042",
        "943 476 5870",
        "536-90-4399",
        "1630615123457",
    ],
)
def test_leaves_weakly_checked_numbers_alone_without_a_word_nearby(text: str) -> None:
    assert kinds(text) == []


def test_a_mask_in_between_keeps_a_word_as_far_away_as_it_was() -> None:
    assert kinds("BSN [email] 111222333") == []


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(people.nobody, min_size=1, max_size=3), word=st.sampled_from([", ", " ok "])
)
def test_leaves_alone_what_is_nobodys(pieces: list[str], word: str) -> None:
    assert pii.scan(word.join(pieces)) == ()


@pytest.mark.parametrize(
    "text",
    ["2025", "€ 1.234.567,89", "9780306406157", "4006381333931", "pi is 3.14159265358979323"],
)
def test_leaves_numbers_of_things_alone(text: str) -> None:
    assert pii.scan(text) == ()


ORDINARY = (
    "On 2026-11-23 at 14:05:59.123456Z request 5f0c2d9e-8a7b-4c1d-9e2f-0a1b2c3d4e5f took "
    "1732370759 ns; commit 9fceb02d0ae598e95dc970b74767f19372d61af8 is on 10.12.0.17:8443.",
    "def retry(n: int = 3, base_ms: int = 150) -> list[int]:\n    return [base_ms * 2**i for i in "
    "range(n)]  # 150, 300, 600\nassert sum(x[0:15:2]) == 0x7FFFFFFF and 1_000_000 > 65535\n",
    "Invoice RE-2026-004711, order 4500012345, customer 10023456, article 4006381333931, total "
    "1.234.567,89 EUR, due 31.12.2026, postcode 10115 Berlin, ISBN 978-3-16-148410-0.",
    "arn:aws:bedrock:eu-central-1:123456789012:provisioned-model/abc123def456 returned 503 after "
    "30000 ms; i-0abcd1234efgh5678, vpc-0123456789abcdef0, ami-0c55b159cbfafe1f0.",
    '{"id": 9007199254740991, "ts": 1732370759123, "price": 19.99, "sku": "ABC-12345-XZ", "v": '
    '"12.4.1", "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}',
    "git@github.com is a remote, @app.route a decorator, a@b no address; @types/node@22.9.0 is a "
    "package; user@localhost stays, and so does 50%40.",
)


@pytest.mark.parametrize("text", ORDINARY)
def test_leaves_ordinary_text_and_code_alone(text: str) -> None:
    assert pii.scan(text) == ()


@pytest.mark.parametrize("digits", [9, 10, 11, 12, 13])
def test_few_of_a_thousand_order_numbers_are_taken_for_somebodys(digits: int) -> None:
    rng = random.Random(f"{digits}")
    numbers = [str(rng.randrange(10 ** (digits - 1), 10**digits)) for _ in range(1000)]
    taken = sum(bool(pii.scan(f"order {number} is late")) for number in numbers)
    assert taken <= 30, taken


@BOUNDED
@given(number=people.cards(), at=st.integers(0, 30), by=st.integers(1, 9))
def test_a_card_with_one_digit_changed_is_not_found(number: str, at: int, by: int) -> None:
    places = [i for i, char in enumerate(number) if char.isdigit()]
    place = places[at % len(places)]
    wrong = number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :]
    assert not luhn.is_valid(wrong.replace(" ", "").replace("-", ""))
    assert PiiClass.CARD not in kinds(wrong)


@BOUNDED
@given(number=people.ibans(), by=st.integers(1, 9))
def test_an_iban_with_a_wrong_check_digit_is_not_found(number: str, by: int) -> None:
    wrong = number[:3] + str((int(number[3]) + by) % 10) + number[4:]
    assert not iban.is_valid(wrong, check_country=False)
    assert PiiClass.IBAN not in kinds(wrong)


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(st.one_of(people.anybody, people.nobody, people.prose), max_size=6), glue=GLUE
)
@example(pieces=["DE89370400440532013000", "4111111111111111"], glue="")
@example(pieces=["a@b.u", "4111111111111111"], glue="")
def test_masking_twice_changes_nothing(pieces: list[str], glue: str) -> None:
    once = pii.mask(glue.join(pieces))
    assert pii.mask(once.text) == Masked(text=once.text, classes=())


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(st.one_of(people.anybody, people.nobody, people.prose), max_size=6), glue=GLUE
)
def test_findings_are_sorted_and_apart(pieces: list[str], glue: str) -> None:
    text = glue.join(pieces)
    found = pii.scan(text)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert all(0 <= finding.start < finding.end <= len(text) for finding in found)


@BOUNDED
@given(text=st.text(max_size=200))
def test_takes_any_text_and_leaves_what_it_does_not_find_as_it_was(text: str) -> None:
    found = pii.scan(text)
    outside, at = [], 0
    for finding in found:
        outside.append(text[at : finding.start])
        at = finding.end
    outside.append(text[at:])
    rebuilt = "".join(
        part + (f"[{found[i].kind}]" if i < len(found) else "") for i, part in enumerate(outside)
    )
    assert pii.mask(text).text == rebuilt


def test_overlapping_findings_are_masked_as_one_by_the_better_proven_class() -> None:
    assert pii.mask("4111111111111111@example.com").text == "[card]"
    overlapping = [
        Finding(kind=PiiClass.EMAIL, start=4, end=9),
        Finding(kind=PiiClass.IBAN, start=0, end=6),
    ]
    assert pii.mask("0123456789", overlapping) == Masked(text="[iban]9", classes=(PiiClass.IBAN,))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("４１１１ １１１１ １１１１ １１１１", "[card]"),
        ("٤١١١١١١١١١١١١١١١", "[card]"),
        ("4\u200b111\u00ad1111\u206011111111\ufe0f", "[card]"),
        ("4111\u00a01111\u20091111\u202f1111", "[card]"),
        ("4111–1111−1111‑1111", "[card]"),
        ("DЕ89370400440532013000", "[iban]"),  # the second letter is Cyrillic
        ("max＠example．com", "[email]"),
        ("用户@例子.公司", "[email]"),
        ("jose\u0301@exa\u0301mple.com", "[email]"),
        ("🙂🙂max@example.com👩\u200d🚀", "🙂🙂[email]👩\u200d🚀"),
        ("👩\u200d🚀 a@b.de 👍🏽 +49 30 1234567!", "👩\u200d🚀 [email] 👍🏽 [phone]!"),
    ],
)
def test_reads_text_as_a_person_does(text: str, masked: str) -> None:
    assert pii.mask(text).text == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("email=a@b.de&x=1", "email=[email]&x=1"),
        ("?q=max%40example.com", "?q=[email]"),
        ("{'to': 'o'brien@example.com'}", "{'to': '[email]'}"),
        ("bounce+max.muster=example.com@lists.org", "[email]"),
        ("IBANDE89370400440532013000EUR", "IBAN[iban]EUR"),
        ("2025-11-23 4111 1111 1111 1111 123", "2025-11-23 [card] 123"),
        ("+1 415 555 2671 12 calls", "[phone] 12 calls"),
        ("Visa4111111111111111", "Visa[card]"),
    ],
)
def test_masks_the_data_and_not_what_stands_around_it(text: str, masked: str) -> None:
    assert pii.mask(text).text == masked


def growth(work: Callable[[str], object], unit: str, length: int) -> float:
    """Return how many times the processor time of `length` eight times `length` takes."""

    def cost(characters: int) -> float:
        text = unit * (characters // len(unit))
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            work(text)
            best = min(best, time.process_time() - start)
        return best

    return cost(8 * length) / max(cost(length), 0.001)


@pytest.mark.parametrize(
    "unit",
    [
        "4", "1 ", "12 34 ", "4111 ", "41111111 ", "a@", "a.", "@b.", "+4", "+49 ", "0 ", "030 ",
        "(0", "DE89", "DE89 3704 ", "4\u200b", "-", "ffffffff-", "1234-", "a@b.de4111111111111111",
        "X1", "BSN 111222333 ", "DE89370400440532013000", "aaaaaa11", "[card]111222333", "%40",
    ],
)  # fmt: skip
def test_hostile_text_costs_in_proportion_to_its_length(unit: str) -> None:
    assert growth(pii.scan, unit, 10_000) < QUADRATIC


def test_the_measure_of_growth_sees_a_quadratic_pattern() -> None:
    assert growth(re.compile(r"[\w.+-]+@").search, "a", 3_000) > QUADRATIC


def test_a_megabyte_of_digits_is_nobodys() -> None:
    assert pii.scan("4" * 1_000_000) == ()
