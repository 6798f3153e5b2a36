"""The import as a use case: what is stored, what is refused, and what is booked."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from django.db import connections

from routing.audit import queries as audit
from routing.audit import verify
from routing.core.errors import Forbidden, Invalid, NotFound, Refused, Stale
from routing.core.flags import FlagName
from routing.core.rights import Actor
from routing.core.values import Action, EnvironmentName, Evidence, Role, Verdict
from routing.deployments import document, importing, queries, store
from routing.deployments.importing import Imported, Incoming, Stored
from routing.deployments.models import Deployment, DeploymentDocument, DeploymentTest, Origin
from routing.deployments.parsed import Format, SmokeTest
from routing.flags import queries as flags
from routing.flags.models import FlagSet, FlagState
from routing.fleet.models import Environment
from tests.integration.changes.ground import DEV, NOW, OPERATOR, PROD, SHELL, STG, VIEWER, person
from tests.unit.deployments.papers import (
    FILE,
    ID,
    SUMMARY,
    clean,
    markdown,
    results,
    summary,
    text_of,
)

pytestmark = pytest.mark.usefixtures("ground")

MCP = SmokeTest.MCP_CONNECTION
REVIEWER = person(Role.REVIEWER)


def take(text: str | bytes = "", *, name: str = FILE, by: Actor = OPERATOR) -> Imported:
    data = text if isinstance(text, bytes) else (text or markdown()).encode()
    return importing.import_document(by=by, now=NOW, file_name=name, data=data)


def booked() -> list[audit.EntryRow]:
    """Return the entries of imports, newest first."""
    return list(audit.page(filters=audit.Filters(action=Action.DEPLOYMENT_IMPORT)).rows)


def rows() -> dict[str, int]:
    """Count what an import could leave behind."""
    return {
        "deployments": Deployment.objects.count(),
        "documents": DeploymentDocument.objects.count(),
        "tests": DeploymentTest.objects.count(),
    }


NOTHING = {"deployments": 0, "documents": 0, "tests": 0}


def test_stores_the_claims_and_books_them_in_one_go() -> None:
    done = take()
    assert (done.stored, done.file) == (Stored.CREATED, FILE)
    detail = queries.detail(ID, environments=[DEV])
    assert detail.row.origin is Origin.IMPORTED
    assert (detail.row.recorded, detail.row.derived) == ("SUCCESS", Verdict.INCONCLUSIVE)
    assert detail.claimed is Verdict.SUCCEEDED
    assert detail.row.at == clean().timestamp
    assert (detail.row.tests, detail.row.proven, detail.row.failed) == (10, 0, 0)
    assert detail.process == clean().process
    assert detail.flags == clean().flags
    [entry] = booked()
    assert entry.seq == done.entry_seq == detail.documents[0].entry_seq
    assert (entry.object_type, entry.object_id, entry.environment) == ("deployment", ID, DEV)
    assert isinstance(entry.after, dict) and isinstance(entry.facts, dict)
    assert entry.before is None
    assert entry.after["derived_verdict"] == "inconclusive"
    assert entry.after["documents"] == {"md": store.digest(markdown().encode())}
    assert entry.facts["file_name"] == FILE
    assert verify.verify().ok


def test_keeps_the_document_to_the_byte() -> None:
    text = markdown(errors=("Übel: \t“x”",)).replace("\n", "\r\n")
    take(text)
    [kept] = queries.detail(ID, environments=[DEV]).documents
    assert kept.text.encode() == text.encode()
    assert (kept.bytes, kept.sha256) == (len(text.encode()), store.digest(text.encode()))
    assert (kept.file_name, kept.by, kept.imported_at) == (FILE, OPERATOR.id, NOW)


def test_nothing_in_a_document_is_ever_proven_or_applied() -> None:
    before = {row.name: dict(row.cells) for row in flags.grid([DEV]).rows}
    entries = len(audit.page(filters=audit.Filters(action=Action.FLAG_CHANGE)).rows)
    take(markdown(flags=dict.fromkeys(FlagName, False)))
    assert {row.name: dict(row.cells) for row in flags.grid([DEV]).rows} == before
    assert len(audit.page(filters=audit.Filters(action=Action.FLAG_CHANGE)).rows) == entries
    kept = DeploymentTest.objects.values_list("evidence", flat=True)
    assert set(kept) == {str(Evidence.UNPROVEN)}


def test_a_result_that_is_labelled_proven_is_stored_unproven_unless_it_ran_here() -> None:
    take()
    kept = Deployment.objects.get(pk=ID)
    labelled = [replace(test, evidence=Evidence.PROVEN) for test in results()]
    store.put_tests(kept, labelled)
    assert queries.detail(ID, environments=[DEV]).row.proven == 0
    kept.origin = str(Origin.RAN)
    store.put_tests(kept, labelled)
    assert queries.detail(ID, environments=[DEV]).row.proven == 10


def test_the_same_bytes_again_change_nothing_and_book_nothing() -> None:
    take()
    kept = rows()
    again = take(name="another-name.md")
    assert (again.stored, again.entry_seq) == (Stored.UNCHANGED, None)
    assert rows() == kept and len(booked()) == 1


def test_another_text_of_the_same_form_is_refused_and_says_what_differs() -> None:
    take()
    kept = rows()
    with pytest.raises(Stale) as refused:
        take(markdown(tests=results(failing=[MCP])))
    assert refused.value.status == 409
    assert "test MCPRouter.mcp_connection (pass in 7 ms there, fail in 7 ms here)" in (
        refused.value.message
    )
    assert f"from {FILE} (entry #{booked()[1].seq})" in refused.value.message
    assert rows() == kept
    assert queries.detail(ID, environments=[DEV]).row.failed == 0
    assert (booked()[0].outcome, booked()[0].object_id) == ("refused", ID)


@pytest.mark.parametrize("first", ["md", "json"])
def test_both_forms_of_one_run_are_two_documents_of_one_deployment(first: str) -> None:
    files = [(markdown(), FILE), (text_of(summary()), SUMMARY)]
    for text, name in files if first == "md" else files[::-1]:
        assert take(text, name=name).stored is Stored.CREATED
    assert rows() == {"deployments": 1, "documents": 2, "tests": 10}
    detail = queries.detail(ID, environments=[DEV])
    assert {one.format for one in detail.documents} == set(Format)
    assert (detail.run_ms, detail.findings) == (2500, ())
    assert (detail.row.recorded_success, detail.process) == (True, clean().process)
    second = booked()[0]
    assert isinstance(second.before, dict) and isinstance(second.after, dict)
    assert len(second.before["documents"]) == 1 and len(second.after["documents"]) == 2


def test_twins_that_differ_are_both_kept_and_the_worse_counts() -> None:
    broken = results(failing=[MCP], error="refused")
    take()
    take(text_of(summary(tests=broken)), name=SUMMARY)
    detail = queries.detail(ID, environments=[DEV])
    assert detail.row.derived is Verdict.FAILED
    assert "md_json_differ" in {one.code for one in detail.findings}
    assert {test.error for test in detail.tests} == {"", "refused"}


def test_twins_that_name_different_environments_are_not_one_deployment() -> None:
    take()
    with pytest.raises(Stale, match="was imported for development; this document says staging"):
        take(text_of(summary(environment=STG)), name=SUMMARY)
    assert rows()["documents"] == 1


def test_the_id_of_a_run_of_our_own_cannot_be_claimed() -> None:
    Deployment.objects.create(
        pk=ID, environment_id=str(DEV), origin=str(Origin.RAN), created_at=NOW, by="user:x"
    )
    with pytest.raises(Stale, match="ran here"):
        take()
    assert rows()["documents"] == 0
    assert queries.detail(ID, environments=[DEV]).row.origin is Origin.RAN


def test_history_neither_blocks_nor_answers_an_import_and_is_linked() -> None:
    history = f"history-{ID[-13:]}"
    Deployment.objects.create(
        pk=history, environment_id=str(DEV), origin=str(Origin.HISTORY), created_at=NOW, by="x"
    )
    assert take().stored is Stored.CREATED
    assert queries.detail(ID, environments=[DEV]).related == (history,)
    assert queries.detail(history, environments=[DEV]).related == (ID,)


@pytest.mark.parametrize(
    ("by", "environment", "error"),
    [
        (VIEWER, DEV, Forbidden),
        (REVIEWER, DEV, Forbidden),
        (
            Actor(kind=OPERATOR.kind, id="user:s", name="s", grants={DEV: Role.OPERATOR}),
            STG,
            Forbidden,
        ),
    ],
    ids=["viewer", "reviewer", "operator-elsewhere"],
)
def test_the_right_counts_in_the_environment_that_the_document_names(
    by: Actor, environment: EnvironmentName, error: type[Refused]
) -> None:
    with pytest.raises(error, match=f"in {environment}"):
        take(markdown(environment=environment), by=by)
    assert rows() == NOTHING
    [entry] = booked()
    assert (entry.outcome, entry.environment, entry.actor) == ("refused", environment, by.id)


def test_an_environment_that_is_not_here_is_named() -> None:
    FlagState.objects.filter(environment_id=str(PROD)).delete()
    FlagSet.objects.filter(environment_id=str(PROD)).delete()
    Environment.objects.filter(pk=str(PROD)).delete()
    with pytest.raises(NotFound, match="no environment production"):
        take(markdown(environment=PROD), by=SHELL)
    assert rows() == NOTHING


def test_a_document_that_is_refused_leaves_only_its_refusal() -> None:
    with pytest.raises(Invalid, match="line 7"):
        take(markdown().replace("SUCCESS", "FINE"))
    assert rows() == NOTHING
    [entry] = booked()
    assert (entry.outcome, entry.object_type, entry.object_id) == ("refused", "document", FILE)
    assert isinstance(entry.facts, dict) and "line 7" in str(entry.facts["message"])


@pytest.mark.parametrize("name", ["", "a\nb.md", "a\u202eb.md", "x" * 256, "\udcff.md", "a\x00"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="printable characters"):
        take(name=name)
    assert rows() == NOTHING and verify.verify().ok


@pytest.mark.parametrize("name", ["../../etc/passwd.md", "C:\\runs\\passwd.md", "/x/passwd.md"])
def test_only_the_last_part_of_a_name_is_kept(name: str) -> None:
    take(name=name)
    assert queries.detail(ID, environments=[DEV]).documents[0].file_name == "passwd.md"


def test_each_file_of_a_batch_stands_on_its_own() -> None:
    files = [
        Incoming(name="bad.md", data=b"# Other\n"),
        Incoming(name=FILE, data=markdown().encode()),
        Incoming(name="gone.md", problem="it cannot be read."),
        Incoming(name=SUMMARY, data=text_of(summary(tests=results(duration_ms=0))).encode()),
        Incoming(name=FILE, data=markdown().encode()),
    ]
    done = importing.import_batch(by=OPERATOR, now=NOW, files=files, environment=DEV)
    assert [str(one.stored) for one in done] == [
        "refused", "created", "refused", "created", "unchanged",
    ]  # fmt: skip
    assert [one.status for one in done] == [400, 200, 400, 200, 200]
    told = {one.code for one in done[1].findings}
    assert "zero_ms_tests" in told, "what the twin tells later is told of the first one, too"
    assert done[1].findings == done[3].findings == done[4].findings
    assert "gone.md: it cannot be read." in done[2].problem
    assert len(booked()) == 4


def test_a_page_of_an_environment_without_the_right_reads_nothing() -> None:
    files = [Incoming(name="bad.md", data=b"# Other\n")]
    with pytest.raises(Forbidden):
        importing.import_batch(by=VIEWER, now=NOW, files=files, environment=DEV)
    [entry] = booked()
    assert (entry.object_type, entry.outcome) == ("environment", "refused")


def test_two_that_import_at_once_make_one_deployment() -> None:
    texts = {FILE: markdown(), SUMMARY: text_of(summary()), "again.md": markdown()}
    ended: dict[str, str] = {}
    together = threading.Barrier(len(texts))

    def run(name: str, text: str) -> None:
        try:
            together.wait(10)
            ended[name] = str(take(text, name=name, by=SHELL).stored)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=item) for item in texts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(ended.values()) == ["created", "created", "unchanged"]
    assert rows() == {"deployments": 1, "documents": 2, "tests": 10}
    assert verify.verify().ok


def test_what_is_exported_comes_back_as_itself() -> None:
    said = clean(recorded_status="INCONCLUSIVE", errors=("a\nb", '"'), warnings=("None",))
    take(document.render_markdown(said))
    detail = queries.detail(ID, environments=[DEV])
    assert detail.row.recorded == "INCONCLUSIVE"
    assert [one.text for one in detail.errors] == ["a\nb", '"']
    assert detail.warnings == ("None",)


def test_text_of_every_kind_survives_both_databases() -> None:
    texts = ("' OR 1=1 --", "%s %(x)s", "\U0001f525", "<script>alert(1)</script>", "\\x00")
    take(markdown(errors=texts))
    assert tuple(one.text for one in queries.detail(ID, environments=[DEV]).errors) == texts
