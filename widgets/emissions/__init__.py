"""Parts of the emission explorer and its plain relative: what it says, draws and does behind the page."""
