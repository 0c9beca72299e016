"""Parts of the training monitor: what it says, draws and does behind the page."""
