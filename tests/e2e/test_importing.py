"""An operator imports the documents of a run in a browser and reads what they amount to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Complaints
from tests.integration.deployments import recorded
from tests.unit.deployments.papers import DRIFT, markdown, results, summary, text_of

PAGE = "/e/development/deployments/"
EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


def papers(folder: Path, run: str) -> list[Path]:
    """Write a made-up run of that id in both forms."""
    said = {
        "deployment_id": run,
        "tests": results(failing=["MCPRouter.mcp_connection"], duration_ms=0),
        "errors": (DRIFT, EVIL),
    }
    files = [folder / f"{run}.md", folder / f"summary-{int(run[-13:]) + 44}.json"]
    files[0].write_text(markdown(**said))
    files[1].write_text(text_of(summary(**said)))
    return files


def bring(page: Page, files: list[Path]) -> None:
    """Send `files` through the form of the import."""
    page.goto(PAGE)
    page.get_by_role("link", name="Import documents").first.click()
    page.get_by_label("Documents, Markdown").set_input_files(files)
    page.get_by_role("button", name="Import").click()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_an_operator_imports_two_documents_and_reads_the_page(
    signed_in: Callable[..., Page], tmp_path: Path, script: bool
) -> None:
    run = f"browser-{'on' if script else 'off'}-1700000000000"
    page = signed_in("operator", java_script_enabled=script)
    bring(page, papers(tmp_path, run))
    expect(page.get_by_role("heading", level=1)).to_have_text("2 files: 2 created")
    page.get_by_role("link", name=run).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("derived failed")
    expect(page.get_by_text("10 of 10 tests took 0 ms: they prove nothing.")).to_be_visible()
    expect(page.get_by_text("The whole run took 44 ms")).to_be_visible()
    expect(page.get_by_text("not a routing fault").first).to_be_visible()
    expect(page.locator("pre", has_text="onerror").first).to_be_attached()
    assert "taken" not in page.title()
    bring(page, papers(tmp_path, run))
    expect(page.get_by_role("heading", level=1)).to_have_text("2 files: 2 unchanged")


def test_the_recorded_run_in_a_browser(signed_in: Callable[..., Page]) -> None:
    folder = recorded.folder()
    page = signed_in("operator")
    bring(page, [folder / recorded.SEED_MARKDOWN, folder / recorded.SEED_SUMMARY])
    expect(page.get_by_role("heading", level=1)).to_have_text("2 files: 2 created")
    page.get_by_role("link", name=recorded.SEED).first.click()
    expect(page.get_by_text("0 of 10 proven").first).to_be_visible()
    expect(page.get_by_text("The whole run took 44 ms")).to_be_visible()
    expect(page.get_by_text("emergency → direct", exact=True)).to_be_visible()


def test_a_viewer_is_led_to_no_form(
    signed_in: Callable[..., Page], complaints: Complaints
) -> None:
    complaints.allow("status of 403")
    page = signed_in("viewer")
    page.goto(PAGE)
    expect(page.get_by_role("link", name="Import documents")).to_have_count(0)
    page.goto(f"{PAGE}import/")
    expect(page.get_by_text(re.compile("needs the role operator or admin"))).to_be_visible()


def test_g_d_leads_to_deployments(signed_in: Callable[..., Page]) -> None:
    page = signed_in("viewer")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url(re.compile(r"/deployments/$"))


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_scrolls_sideways(
    signed_in: Callable[..., Page], tmp_path: Path, width: int
) -> None:
    run = f"browser-{width:04}-1700000000000"
    page = signed_in("operator", viewport={"width": width, "height": 800})
    bring(page, papers(tmp_path, run))
    for address in (page.url, PAGE, f"{PAGE}{run}/", f"{PAGE}compare/"):
        page.goto(address)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{address} is {wide} px wide"
