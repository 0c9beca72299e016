"""Parts of the blueprint editor: what it says, draws and does behind the page."""
