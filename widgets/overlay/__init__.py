"""Parts of the prediction overlay: what it says, draws and does behind the page."""
