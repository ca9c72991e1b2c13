"""The pages for people: landing page, dashboard, description of the API. Files as they are, behind a strict policy.

They talk to the public API only, like any client. It must not know the API's inside, nor any job. Invariants: nothing
comes from elsewhere, no script or style stands in a page, and whatever users wrote is shown as text.
"""

from rustqueue.dashboard.pages import Page, jobs_pages, pages_of

__all__ = ["Page", "jobs_pages", "pages_of"]
