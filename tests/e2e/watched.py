"""A page under watch."""

from dataclasses import dataclass, field

from playwright.sync_api import ConsoleMessage, Page, Request


@dataclass
class Watched:
    """A page, and what it asked for and complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def on_request(self, request: Request) -> None:
        self.requested.append(request.url)

    def foreign(self, origin: str) -> list[str]:
        """What was asked of anybody but `origin`."""
        return [url for url in self.requested if not url.startswith(f"{origin}/")]
