"""The report as a page, as pictures and as Markdown. Imports the report's values and mignet.outputs."""
