"""Parts of the volume viewer: what it says, draws and does behind the page."""
