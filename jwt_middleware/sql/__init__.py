"""SQL databases below every room that stores something.  Needs the extra ``sql``."""
