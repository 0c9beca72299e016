"""Parts of the training set inspector: what it says, draws and does behind the page."""
