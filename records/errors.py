"""What an analysis and a reading refuse."""


class Gone(Exception):
    """The document of which something was asked, or the analysis to be continued, is deleted."""


class Ended(Exception):
    """The reading that was to end with a document has ended otherwise."""
