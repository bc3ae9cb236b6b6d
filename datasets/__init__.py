"""ON WHAT: data sets as declarative specs, converters, and one reader."""
