"""Makes the README's pictures from the running demo: `python -m tests.pictures`."""

from pathlib import Path

from tests import browser, harness

PICTURES = Path(__file__).parent.parent / "assets" / "pictures"
DESKTOP, PHONE = {"width": 1180, "height": 720}, {"width": 390, "height": 720}


def main() -> None:
    """Sign in again and again, and look."""
    PICTURES.mkdir(exist_ok=True)
    with harness.proxgate("--demo") as site, browser.launched() as chromium:
        for name, scheme, size in (
            ("overview-dark", "dark", DESKTOP),
            ("phone", "light", PHONE),
            ("overview", "light", DESKTOP),
        ):
            context = chromium.new_context(base_url=site.url, color_scheme=scheme, viewport=size)
            page = context.new_page()
            page.goto("/")
            page.get_by_label("Username").wait_for()
            page.wait_for_timeout(500)
            if name == "overview":
                page.screenshot(path=PICTURES / "login.png")
            browser.sign_in(page)
            page.get_by_role("article").first.wait_for()
            page.wait_for_timeout(800)
            page.screenshot(path=PICTURES / f"{name}.png")
            if name != "overview-dark":  # by now there is more than one
                page.goto("/sessions")
                page.get_by_role("heading", name="Recent activity").wait_for()
                page.wait_for_timeout(800)
                page.screenshot(path=PICTURES / ("sessions.png" if name == "overview" else f"{name}-sessions.png"))
            context.close()


if __name__ == "__main__":
    main()
