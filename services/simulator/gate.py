"""Who is asking: a ticket in the cookie with a CSRF token, or an API token in a header."""

from services.simulator import answers
from services.simulator.accounts import Caller, Directory
from services.simulator.answers import Answer
from services.simulator.request import Request
from services.simulator.tickets import Tickets


class Gate:
    """Admits callers, or has the answer for those it does not admit."""

    def __init__(self, directory: Directory, tickets: Tickets) -> None:
        self._directory = directory
        self._tickets = tickets

    def admit(self, request: Request) -> Caller | Answer:
        if request.api_token:
            return self._directory.token_caller(*request.api_token) or answers.unauthorized("Authentication failed!")
        if not request.ticket:
            return answers.unauthorized("No ticket")
        return self._by_ticket(request, request.ticket)

    def _by_ticket(self, request: Request, ticket: str) -> Caller | Answer:
        userid = self._tickets.holder(ticket)
        if userid is None:
            return answers.unauthorized("permission denied - invalid PVE ticket")
        account = self._directory.usable(userid)
        if account is None:
            return answers.unauthorized("Authentication failed!")
        if request.method != "GET" and not self._tickets.is_csrf(_csrf(request), userid):
            return answers.unauthorized("Permission denied - invalid csrf token")
        return self._directory.caller(account)


def _csrf(request: Request) -> str:
    return request.headers.get("csrfpreventiontoken", "")
