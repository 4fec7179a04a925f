"""The page of the demo, as it is served, in a real Chromium."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .chromium import Page, chromium, needs_chromium

pytestmark = [pytest.mark.full, needs_chromium]

ROOT = Path(__file__).parents[2]
SIGNED_IN = "document.querySelector('#session').checkVisibility()"


@pytest.fixture(scope="module")
def url(serving: Callable[..., Any]) -> Iterator[str]:
    with serving([sys.executable, "-m", "demo", "--port", "0"], cwd=ROOT) as running:
        yield running.url


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path) as page:
        yield page


def text(page: Page, selector: str) -> str:
    return str(page.run(f"document.querySelector({selector!r}).innerText"))


def go_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(40):
        if page.run(f"document.activeElement.matches({selector!r})"):
            break
        page.press("Tab")
    shown = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.run(f"document.activeElement.matches({selector!r}) && {shown}") == "solid"


def use(page: Page, selector: str, key: str = "Enter") -> None:
    """Press the button that Tab leads to, and wait for the answer to its request."""
    page.run("document.querySelector('#request').textContent = ''")
    go_to(page, selector)
    page.press(key)
    page.wait("document.querySelector('#request').textContent")


@pytest.mark.parametrize("width", [320, 1280])
def test_everything_is_done_with_the_keyboard(page: Page, url: str, width: int) -> None:
    page.look(width=width)
    page.open(url)
    assert page.complaints == []
    use(page, "form button")
    page.wait(SIGNED_IN)
    assert page.run("document.activeElement.innerText") == "Your access token"
    assert "scope\nread" in text(page, "#session dl")
    assert text(page, "#left") in {"02:00:00", "01:59:59"}
    before = text(page, "#session dl")
    use(page, "[data-call='/me']", " ")
    assert text(page, "#status") == "200 OK"
    use(page, "[data-call='/admin']")
    assert text(page, "#status") == "403 Forbidden"
    assert 'scope="admin"' in text(page, "#headers")
    use(page, "[data-without]")
    assert text(page, "#status") == "401 Unauthorized"
    use(page, "#refresh")
    page.wait(f"document.querySelector('#session dl').innerText !== {before!r}")
    assert text(page, "#status") == "200 OK"
    use(page, "#sign-out")
    page.wait(f"!{SIGNED_IN}")
    assert text(page, "#status") == "200 OK – signed out"
    assert page.run("document.activeElement.id") == "account"
    use(page, "[data-call='/me']")
    assert text(page, "#status") == "401 Unauthorized"
    go_to(page, "[data-fill='admin']")
    page.press("Enter")
    use(page, "form button")
    page.wait(SIGNED_IN)
    use(page, "[data-call='/admin']")
    assert "Welcome, admin 2." in text(page, "#body")
    assert page.run("document.documentElement.scrollWidth") <= width
    expected = {"responded with a status of 403", "responded with a status of 401"}
    assert all(any(one in complaint for one in expected) for complaint in page.complaints)


def test_tokens_are_nowhere_but_in_memory(page: Page, url: str) -> None:
    page.open(url)
    use(page, "form button")
    page.wait(SIGNED_IN)
    kept = "[document.cookie, localStorage.length, sessionStorage.length, location.href]"
    assert page.run(kept) == ["", 0, 0, f"{url}/"]
    token = page.run("tokens.access")
    assert token not in page.run("document.documentElement.outerHTML")
    page.open(url)
    assert not page.run(SIGNED_IN)


def test_wrong_secret_is_told(page: Page, url: str) -> None:
    page.open(url)
    page.run("document.querySelector('#secret').value = 'wrong'")
    use(page, "form button")
    assert text(page, "#status") == "401 Unauthorized"
    assert "The account or the secret is wrong." in text(page, "#body")
    assert not page.run(SIGNED_IN)


def test_its_policy_blocks_what_the_page_does_not_have(page: Page, url: str) -> None:
    page.open(url)
    page.run(
        "{ const one = document.createElement('img');"
        " one.src = 'https://example.invalid/x.png'; document.body.append(one) }"
    )
    with pytest.raises(AssertionError, match="TrustedHTML"):
        page.run("document.body.innerHTML = '<b>x</b>'")
    page.wait("true")
    assert any("Content Security Policy" in complaint for complaint in page.complaints)


def test_speaks_chinese_where_the_browser_does_and_on_request(page: Page, url: str) -> None:
    page.look(width=320, language="zh-CN")
    page.open(url)
    assert page.run("document.documentElement.scrollWidth") == 320
    assert page.run("document.documentElement.lang") == "zh-Hans"
    assert text(page, "#login h2") == "登录"
    use(page, "[data-without]")
    assert "缺少访问令牌" in text(page, "#body")
    go_to(page, "#language")
    page.press("Enter")
    assert page.run("document.documentElement.lang") == "en"
    assert text(page, "#login h2") == "Sign in"
    use(page, "[data-without]")
    assert "A bearer token is required." in text(page, "#body")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_ground(page: Page, url: str, scheme: str) -> None:
    page.look(width=1280, scheme=scheme)
    page.open(url)
    ratios = page.run(CONTRASTS)
    assert len(ratios) > 10
    assert min(ratios.values()) >= 4.5, ratios  # WCAG 2.2 §1.4.3


# Of each element with a text of its own: its contrast to the nearest ground.
CONTRASTS = """
(() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (text) => {
    const parts = rgb(text).slice(0, 3).map((c) => c / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = (node) => {
    const color = getComputedStyle(node).backgroundColor;
    return rgb(color)[3] === 0 ? ground(node.parentElement) : color;
  };
  const found = {};
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || !node.checkVisibility()) continue;
    const both = [light(getComputedStyle(node).color), light(ground(node))].sort();
    found[node.outerHTML.slice(0, 60)] = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  }
  return found;
})()
"""
